"""Whether the privacy claim holds: the audit (audit, on one_run and canaries), and the page for whoever must answer for
it (statement, page).
"""

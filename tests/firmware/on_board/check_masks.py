# Masked jobs: which are refused, and by whom.
from check_jobs import make, policy_of
from harness import refuses
from picofed.errors import ARGUMENT
from picofed.errors import POLICY as FORBIDDEN


def test_masked_jobs():
    job = make(mask_bits=20, round_shift=11)
    assert job.mask_bits == 20 and make().mask_bits == 0
    wrong = [
        ("mask_bits", {"mask_bits": 15}),
        ("mask_bits", {"mask_bits": 0}),
        ("mask_bits", {"mask_bits": 33}),
        ("mask_bits", {"mask_bits": 29}),
        ("log2_sigma - 2", {"mask_bits": 16, "round_shift": 12}),
        ("gradient", {"mask_bits": 20, "mode": 1, "steps": 3, "multiplier": 5, "shift": 9}),
        ("mask_bits", {"mask_bits": "20"}),
    ]
    for word, change in wrong:
        text = refuses(ARGUMENT, lambda change=change: make(**change))
        assert word in text, (word, text)
    text = refuses(FORBIDDEN, policy_of().check, job, job.charge())
    assert "helper" in text, text
    policy_of(helper=b"h" * 32).check(job, job.charge())
    policy_of(helper=b"h" * 32, cohort=2).check(job, job.charge())
    for helper in (b"h" * 31, "h" * 32, None):
        refuses(ARGUMENT, lambda helper=helper: policy_of(helper=helper))

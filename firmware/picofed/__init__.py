"""The picofed firmware: records, private training, ledger and link of one board. Start: picofed.main.run()."""

__version__ = "0.1.0"

# Masked jobs: which are refused, and by whom.
from check_jobs import make, policy_of
from harness import refuses
from picofed.errors import ARGUMENT
from picofed.errors import POLICY as FORBIDDEN


def test_masked_jobs():
    job = make(mask_bits=20, round_shift=11)
    assert job.mask_bits == 20 and make().mask_bits == 0
    assert make(mask_bits=8, round_shift=11).mask_bits == 8
    wrong = [
        ("mask_bits", {"mask_bits": 7}),
        ("mask_bits", {"mask_bits": 0}),
        ("mask_bits", {"mask_bits": 33}),
        ("mask_bits", {"mask_bits": 29}),
        ("log2_sigma - 2", {"mask_bits": 16, "round_shift": 12}),
        ("gradient", {"mask_bits": 20, "mode": 1, "steps": 3, "multiplier": 5, "shift": 9}),
        ("mask_bits", {"mask_bits": "20"}),
        ("pairwise", {"mask_bits": 20, "masks": "helper"}),
        ("pairwise", {"masks": "pairwise"}),
        ("masks", {"mask_bits": 20, "masks": 1}),
    ]
    for word, change in wrong:
        text = refuses(ARGUMENT, lambda change=change: make(**change))
        assert word in text, (word, text)
    text = refuses(FORBIDDEN, policy_of().check, job, job.charge())
    assert "helper" in text, text
    policy_of(helper=b"h" * 32).check(job, job.charge())
    policy_of(helper=b"h" * 32, cohort=2).check(job, job.charge())
    pairwise = make(mask_bits=20, round_shift=11, masks="pairwise")
    assert pairwise.pairwise and not job.pairwise
    for wrong in ({"helper": b"h" * 32, "link": 2}, {"link": 1}):
        text = refuses(FORBIDDEN, policy_of(**wrong).check, pairwise, pairwise.charge())
        assert "pairwise" in text, text
    policy_of(peers=3, link=1).check(pairwise, pairwise.charge())
    assert policy_of(peers=3, cohort=9, link=1).peers == 9 and policy_of(cohort=9).peers == 0
    # a share of the noise is for sums that a helper makes sure of
    shared = policy_of(helper=b"h" * 32, cohort=16, honest=16, peers=3, link=1, min_log2_sigma=pairwise.log2_sigma + 1)
    shared.check(job, job.charge())
    assert "log2_sigma" in refuses(FORBIDDEN, shared.check, pairwise, pairwise.charge())
    for peers in (0, 2, 513, "3", None):
        refuses(ARGUMENT, lambda peers=peers: policy_of(peers=peers, link=1))
    # on an open link anybody could say what the host says
    refuses(ARGUMENT, lambda: policy_of(peers=3))
    order_8 = 325606250916557431795983626356110631294008115727848805560023387167927233504
    for helper in (b"h" * 31, "h" * 32, None, bytes(32), b"\1" + bytes(31), order_8.to_bytes(32, "little")):
        refuses(ARGUMENT, lambda helper=helper: policy_of(helper=helper))


def test_a_share_of_the_noise():
    job = make(mask_bits=18, round_shift=4)  # log2_sigma 13
    plain = make()
    grants = {"helper": b"h" * 32, "cohort": 100}
    for honest, log2_sigma in ((4, 14), (15, 14), (16, 15), (63, 15), (64, 16)):
        policy_of(honest=honest, min_log2_sigma=log2_sigma, **grants).check(job, job.charge())
        text = refuses(FORBIDDEN, policy_of(honest=honest, min_log2_sigma=log2_sigma + 1, **grants).check, job, 1)
        assert "log2_sigma" in text, text
        text = refuses(FORBIDDEN, policy_of(honest=honest, min_log2_sigma=13, **grants).check, plain, 1)
        assert "no masks" in text, text
    for honest in (2, 3):
        refuses(FORBIDDEN, policy_of(honest=honest, min_log2_sigma=14, **grants).check, job, 1)
    # never below sigma = 2^6, and in full against the largest charge
    least = make(mask_bits=18, round_shift=3, log2_sigma=5, clip=1)
    refuses(FORBIDDEN, policy_of(honest=64, min_log2_sigma=6, **grants).check, least, 1)
    shared = policy_of(honest=64, min_log2_sigma=16, max_charge=262144, **grants)
    assert "charge" in refuses(FORBIDDEN, shared.check, job, job.charge())
    for wrong in ({"honest": 1}, {"honest": 0}, {"honest": 101}, {"honest": 5, "helper": b""}, {"honest": "5"}):
        refuses(ARGUMENT, lambda wrong=wrong: policy_of(**dict(grants, **wrong)))

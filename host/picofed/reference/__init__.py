"""The core again, slowly, in Python ints: what SPEC.md says and nothing else. The compiled core is tested against it.

Functions and classes have the signatures of picofed.native; sequences of ints stand where native has arrays.
"""

from picofed.native_errors import CoreError
from picofed.reference.codec import update_decode, update_encode
from picofed.reference.convolution import convolution
from picofed.reference.crypto import blake2b, chacha20, x25519, x25519_public
from picofed.reference.entropy import entropy_condition
from picofed.reference.features import features_blocks, features_imu, targets
from picofed.reference.frame import crc32, frame_decode, frame_encode
from picofed.reference.ledger import Ledger, Record, charge, parse_record
from picofed.reference.mask import mask_add, mask_encode, mask_unpack, masks
from picofed.reference.model import Layer, Loss, Model, encode_model, parse_model
from picofed.reference.noise import discrete_gaussian
from picofed.reference.ratchet import Ratchet
from picofed.reference.shamir import shamir_combine, shamir_share
from picofed.reference.signature import eddsa_check, eddsa_public, eddsa_sign
from picofed.reference.training import Mode, Trainer, clip
from picofed.reference.update import helper_mac, update_id, update_tag

__all__ = [
    "CoreError",
    "Layer",
    "Ledger",
    "Loss",
    "Mode",
    "Model",
    "Ratchet",
    "Record",
    "Trainer",
    "blake2b",
    "chacha20",
    "charge",
    "clip",
    "convolution",
    "crc32",
    "discrete_gaussian",
    "eddsa_check",
    "eddsa_public",
    "eddsa_sign",
    "encode_model",
    "entropy_condition",
    "features_blocks",
    "features_imu",
    "frame_decode",
    "frame_encode",
    "helper_mac",
    "mask_add",
    "mask_encode",
    "mask_unpack",
    "masks",
    "parse_model",
    "parse_record",
    "shamir_combine",
    "shamir_share",
    "targets",
    "update_decode",
    "update_encode",
    "update_id",
    "update_tag",
    "x25519",
    "x25519_public",
]

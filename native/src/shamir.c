/* shamir.c: a secret in shares, of which a threshold gives it back and fewer say nothing (SPEC 11.5). Bytes are
 * elements of GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. Tables would be read at secret places: products are made bit by
 * bit, in the same steps for all bytes. */
#include "picofed.h"
#include "port.h"

#define SHAMIR_POLYNOMIAL 0x1bu

/* a * b; a, b < 256 */
static uint32_t shamir_multiply(uint32_t a, uint32_t b) {
    uint32_t product = 0;
    for (uint32_t i = 0; i < 8; i++) {
        product ^= a & (0u - (b & 1u));
        b >>= 1;
        a = (a << 1 & 0xffu) ^ (SHAMIR_POLYNOMIAL & (0u - (a >> 7))); /* a < 256 stays so */
        PF_OPAQUE(product);
    }
    return product;
}

/* 1 / a = a^254; 0 for 0 */
static uint32_t shamir_inverse(uint32_t a) {
    uint32_t power = a;
    for (uint32_t i = 0; i < 6; i++) { /* a^(2^(i + 2) - 1), up to a^127 */
        power = shamir_multiply(shamir_multiply(power, power), a);
    }
    return shamir_multiply(power, power);
}

pf_status pf_shamir_share(uint8_t share[PF_SHARE], const uint8_t secret[PF_SHARE], const uint8_t *coefficients,
    uint32_t threshold, uint32_t x) {
    if (threshold < 1 || threshold > 255 || x < 1 || x > 255) {
        return PF_E_ARGUMENT;
    }
    for (uint32_t i = 0; i < PF_SHARE; i++) {
        uint32_t value = 0;
        for (uint32_t k = threshold - 1; k > 0; k--) { /* Horner, from the highest power */
            value = shamir_multiply(value ^ coefficients[(k - 1) * PF_SHARE + i], x); /* index < 254 * 32 */
        }
        share[i] = (uint8_t)(value ^ secret[i]);
    }
    return PF_OK;
}

pf_status pf_shamir_combine(
    uint8_t secret[PF_SHARE], const uint8_t *points, const uint8_t *shares, uint32_t threshold) {
    if (threshold < 1 || threshold > 255) {
        return PF_E_ARGUMENT;
    }
    pf_zero(secret, PF_SHARE);
    for (uint32_t j = 0; j < threshold; j++) {
        /* Lagrange at 0: the product of x_m / (x_m - x_j); minus is plus here */
        uint32_t above = 1;
        uint32_t below = points[j] != 0;
        for (uint32_t m = 0; m < threshold; m++) {
            if (m != j) {
                above = shamir_multiply(above, points[m]);
                below = shamir_multiply(below, (uint32_t)(points[m] ^ points[j]));
            }
        }
        if (below == 0) {
            pf_wipe(secret, PF_SHARE);
            return PF_E_ARGUMENT; /* a point twice, or 0 */
        }
        uint32_t factor = shamir_multiply(above, shamir_inverse(below));
        for (uint32_t i = 0; i < PF_SHARE; i++) {
            secret[i] = (uint8_t)(secret[i] ^ shamir_multiply(shares[j * PF_SHARE + i], factor)); /* index < 255 * 32 */
        }
    }
    return PF_OK;
}

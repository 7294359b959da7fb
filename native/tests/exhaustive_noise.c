/* exhaustive_noise.c: every argument of the acceptance threshold, 19 z times 2^24 fractions (all m <= 24 are subsets).
 *
 * Checks that the fast threshold stays within its margin, and that the exact one's fractional part stays further from 0
 * and 1 than its proven error (2^-50.9 of a unit), so that rounding down gives T. Prints the extremes. Takes about
 * eight minutes.
 *
 *     exhaustive_noise [first z] [last z]
 */
#include <stdio.h>
#include <stdlib.h>

#include "noise_exp.h"

int main(int argc, char **argv) {
    uint32_t first = argc > 1 ? (uint32_t)atoi(argv[1]) : 0;
    uint32_t last = argc > 2 ? (uint32_t)atoi(argv[2]) : 18;
    int bad = 0;
    for (uint32_t z = first; z <= last; z++) {
        int64_t lowest = 0;
        int64_t highest = 0;
        uint64_t nearest = UINT64_MAX;
        for (uint32_t y = 1; y < 1u << 24; y++) {
            uint32_t value[4];
            pf_noise_exact(value, z, y << 8);
            /* p - 2^32 exp(-x), rounded outwards */
            int64_t below = (int64_t)pf_noise_fast(z, y << 8) - value[3] - 1;
            lowest = below < lowest ? below : lowest;
            highest = below + 1 > highest ? below + 1 : highest;
            uint64_t rest = (uint64_t)value[1] << 32 | value[0];
            uint64_t distance = rest < UINT64_MAX - rest ? rest : UINT64_MAX - rest;
            nearest = distance < nearest ? distance : nearest;
        }
        printf("z %u: fast - exact within [%d, %d] ulp of 2^-32; nearest distance to an integer %.3e of a unit of T\n",
            z, (int)lowest, (int)highest, (double)nearest / 18446744073709551616.0);
        fflush(stdout);
        if (lowest < -(int64_t)PF_NOISE_MARGIN || highest > (int64_t)PF_NOISE_MARGIN || nearest < (uint64_t)1 << 14) {
            bad = 1;
        }
    }
    puts(bad ? "FAILED" : "all within bounds");
    return bad;
}

// Bit functions of the boot ROM.
#include <stdint.h>

uint32_t rom_popcount(uint32_t value);
uint32_t rom_clz(uint32_t value);
uint32_t rom_ctz(uint32_t value);
uint32_t rom_reverse(uint32_t value);

uint32_t rom_popcount(uint32_t value) {
    uint32_t count = 0;
    for (; value != 0; value &= value - 1) {
        count++;
    }
    return count;
}

uint32_t rom_clz(uint32_t value) {
    uint32_t count = 32;
    for (uint32_t shift = 16; shift != 0; shift >>= 1) {
        // the answer so far is for `value`'s upper part being empty
        if (value >> shift != 0) {
            value >>= shift;
            count -= shift;
        }
    }
    return count - value;
}

uint32_t rom_ctz(uint32_t value) {
    return value == 0 ? 32 : 31 - rom_clz(value & (0u - value));
}

uint32_t rom_reverse(uint32_t value) {
    uint32_t mask = 0xffffffffu;
    for (uint32_t shift = 16; shift != 0; shift >>= 1) {
        mask ^= mask << shift;
        value = (value >> shift & mask) | (value << shift & ~mask);
    }
    return value;
}

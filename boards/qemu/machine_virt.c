// QEMU's RISC-V `virt`: NS16550 UART, PLIC, CLINT, the SiFive test device.
#include "machine.h"

#define BYTE(address) (*(volatile uint8_t *)(address))
#define UART 0x10000000
#define UART_DATA BYTE(UART)
#define UART_INTERRUPTS BYTE(UART + 1)
#define UART_FIFO BYTE(UART + 2)
#define UART_STATUS BYTE(UART + 5)
#define UART_IRQ 10

#define PLIC 0x0c000000
#define PLIC_PRIORITY(irq) REGISTER(PLIC + 4 * (irq))
#define PLIC_ENABLE REGISTER(PLIC + 0x2000)
#define PLIC_THRESHOLD REGISTER(PLIC + 0x200000)
#define PLIC_CLAIM REGISTER(PLIC + 0x200004)

#define CLINT 0x02000000
#define COMPARE_LOW REGISTER(CLINT + 0x4000)
#define COMPARE_HIGH REGISTER(CLINT + 0x4004)
#define TIME_LOW REGISTER(CLINT + 0xbff8)
#define TIME_HIGH REGISTER(CLINT + 0xbffc)
#define TICKS_PER_MICROSECOND 10

#define TEST_DEVICE REGISTER(0x100000)
#define TEST_RESET 0x7777

#define MIE_TIMER (1 << 7)
#define MIE_EXTERNAL (1 << 11)

static uint64_t ticks(void) {
    uint32_t high, low;
    do {
        high = TIME_HIGH;
        low = TIME_LOW;
    } while (high != TIME_HIGH);
    return (uint64_t)high << 32 | low;
}

static void set_alarm(uint64_t when) {
    COMPARE_HIGH = 0xffffffff;
    COMPARE_LOW = (uint32_t)when;
    COMPARE_HIGH = (uint32_t)(when >> 32); // shift < 64
}

void machine_init(void) {
    PLIC_PRIORITY(UART_IRQ) = 1;
    PLIC_ENABLE = 1 << UART_IRQ;
    PLIC_THRESHOLD = 0;
    UART_FIFO = 1;
    UART_INTERRUPTS = 1; // received
    set_alarm(UINT64_MAX);
    // wake up by either; mstatus.MIE stays off, so that no handler runs
    __asm volatile("csrci mstatus, 8\n csrw mie, %0" ::"r"(MIE_TIMER | MIE_EXTERNAL));
}

bool machine_can_receive(void) {
    return UART_STATUS & 1;
}

uint8_t machine_receive(void) {
    return UART_DATA;
}

bool machine_can_send(void) {
    return UART_STATUS & 0x20;
}

void machine_send(uint8_t byte) {
    UART_DATA = byte;
}

uint64_t machine_microseconds(void) {
    return ticks() / TICKS_PER_MICROSECOND;
}

uint32_t machine_instructions(void) {
    uint32_t count;
    __asm volatile("csrr %0, minstret" : "=r"(count));
    return count;
}

void machine_sleep(uint32_t milliseconds) {
    // below 2^32 * 10^4
    set_alarm(ticks() + (uint64_t)milliseconds * 1000 * TICKS_PER_MICROSECOND);
    if (!machine_can_receive()) {
        __asm volatile("wfi" ::: "memory");
    }
    set_alarm(UINT64_MAX);
    uint32_t claimed = PLIC_CLAIM;
    if (claimed != 0) {
        PLIC_CLAIM = claimed;
    }
}

void machine_reset(void) {
    TEST_DEVICE = TEST_RESET;
    for (;;) {
    }
}

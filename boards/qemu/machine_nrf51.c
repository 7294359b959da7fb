// QEMU's microbit: an nRF51 with a Cortex-M0, UART0 and timers 0 and 1.
#include "systick.h"

#define UART 0x40002000
#define UART_START_RX REGISTER(UART + 0x000)
#define UART_START_TX REGISTER(UART + 0x008)
#define UART_RECEIVED REGISTER(UART + 0x108)
#define UART_SENT REGISTER(UART + 0x11c)
#define UART_INTERRUPTS REGISTER(UART + 0x304)
#define UART_ENABLE REGISTER(UART + 0x500)
#define UART_RXD REGISTER(UART + 0x518)
#define UART_TXD REGISTER(UART + 0x51c)
#define UART_IRQ 2

#define TIMER(n) (0x40008000 + 0x1000 * (n))
#define TIMER_START(n) REGISTER(TIMER(n))
#define TIMER_CAPTURE(n) REGISTER(TIMER(n) + 0x040)
#define TIMER_BITS(n) REGISTER(TIMER(n) + 0x508)
#define TIMER_PRESCALER(n) REGISTER(TIMER(n) + 0x510)
#define TIMER_CAPTURED(n) REGISTER(TIMER(n) + 0x540)

static bool sending;

static void start_timer(int n, uint32_t prescaler) {
    TIMER_BITS(n) = 3; // 32 bits
    TIMER_PRESCALER(n) = prescaler;
    TIMER_START(n) = 1;
}

static uint32_t read_timer(int n) {
    TIMER_CAPTURE(n) = 1;
    return TIMER_CAPTURED(n);
}

void machine_init(void) {
    UART_ENABLE = 4;
    UART_START_RX = 1;
    UART_START_TX = 1;
    UART_INTERRUPTS = 1 << 2; // received
    start_timer(0, 4);        // 16 MHz / 2^4
    start_timer(1, 0);        // 16 MHz
}

bool machine_can_receive(void) {
    return UART_RECEIVED;
}

uint8_t machine_receive(void) {
    // in this order: taking a byte raises the event again where there is another
    UART_RECEIVED = 0;
    return (uint8_t)UART_RXD;
}

bool machine_can_send(void) {
    return !sending || UART_SENT;
}

void machine_send(uint8_t byte) {
    UART_SENT = 0;
    sending = true;
    UART_TXD = byte;
}

uint64_t machine_microseconds(void) {
    static uint32_t high, last;
    uint32_t now = read_timer(0); // wraps every 71 minutes
    high += now < last;
    last = now;
    return (uint64_t)high << 32 | now;
}

uint32_t machine_instructions(void) {
    // ticks of 62.5 ns, instructions of 64 ns with -icount shift=6; the product is below 2^32 * 125
    return (uint32_t)((uint64_t)read_timer(1) * 125 / 128);
}

void machine_sleep(uint32_t milliseconds) {
    systick_sleep(milliseconds, 16000, UART_IRQ);
}

void machine_reset(void) {
    scb_reset();
}

// Sleep of an ARMv6-M, v7-M or v8-M core: interrupts are masked, so one that is pending ends WFI and runs no handler.
#pragma once

#include "machine.h"

#define SYSTICK_CONTROL REGISTER(0xE000E010)
#define SYSTICK_RELOAD REGISTER(0xE000E014)
#define SYSTICK_VALUE REGISTER(0xE000E018)
#define NVIC_ENABLE(irq) REGISTER(0xE000E100 + (irq) / 32 * 4)
#define NVIC_CLEAR(irq) REGISTER(0xE000E280 + (irq) / 32 * 4)
#define SCB_ICSR REGISTER(0xE000ED04)
#define SCB_AIRCR REGISTER(0xE000ED0C)

static inline void systick_sleep(uint32_t milliseconds, uint32_t khz, uint32_t irq) {
    uint32_t longest = 0xffffff / khz;
    SYSTICK_RELOAD = (milliseconds < longest ? milliseconds : longest) * khz; // at most 2^24 - 1
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7; // processor clock, interrupt, on
    NVIC_ENABLE(irq) = 1u << irq % 32;
    if (!machine_can_receive()) {
        __asm volatile("dsb\n wfi" ::: "memory");
    }
    SYSTICK_CONTROL = 0;
    SCB_ICSR = 1u << 25; // the tick is no longer pending
    NVIC_CLEAR(irq) = 1u << irq % 32;
}

static inline __attribute__((noreturn)) void scb_reset(void) {
    SCB_AIRCR = 0x05FA0004;
    for (;;) {
    }
}

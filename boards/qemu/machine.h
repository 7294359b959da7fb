// What differs between QEMU's machines. One of machine_*.c is compiled in.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

// UART, clocks and whatever the processor needs; interrupts stay masked for ever.
void machine_init(void);

bool machine_can_receive(void);
uint8_t machine_receive(void); // only if there is something
bool machine_can_send(void);
void machine_send(uint8_t byte); // only if there is room

// Since the machine started.
uint64_t machine_microseconds(void);

// Counts up with the instructions that were executed, under -icount with the board's shift only.
uint32_t machine_instructions(void);

// Sleep until a byte comes in or the time is up, sooner at will. milliseconds: 1 or more.
void machine_sleep(uint32_t milliseconds);

// RAM outside of .data and .bss stays as it is.
__attribute__((noreturn)) void machine_reset(void);

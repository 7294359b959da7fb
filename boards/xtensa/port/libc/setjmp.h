// setjmp and longjmp of start.S.
#pragma once

typedef int jmp_buf[11];
int setjmp(jmp_buf) __attribute__((returns_twice));
void longjmp(jmp_buf, int) __attribute__((noreturn));

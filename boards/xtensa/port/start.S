// Entry, system calls and setjmp for windowed Xtensa under Linux. See ../README.md.
//
// Registers of a suspended function are on the stack: a0 to a3 in the 16 bytes below the stack pointer of the function
// that it called, a4 to a7 in the 16 bytes 32 bytes below the stack pointer of its own caller.

	.literal_position
	.literal .Lmain, c_main
	.text
	.p2align 2
	.global _start
_start:
	movi	a0, 0
	or	a10, a1, a1
	l32r	a8, .Lmain
	callx8	a8

// long sys_call(long number, long a, long b, long c, long d, long e)
	.p2align 2
	.global sys_call
	.type sys_call, @function
sys_call:
	entry	a1, 32
	or	a8, a7, a7
	or	a9, a6, a6
	or	a6, a3, a3
	or	a3, a4, a4
	or	a4, a5, a5
	or	a5, a9, a9
	syscall
	retw

// Writes the registers of all suspended functions to the stack: no register is left after so many calls.
// void spill_registers(int depth)
	.p2align 2
	.global spill_registers
	.type spill_registers, @function
spill_registers:
.Lspill:
	entry	a1, 32
	beqz	a2, .Ldeep
	addi	a10, a2, -1
	call8	.Lspill
.Ldeep:
	retw

// jmp_buf: 0 return address, 1 our stack pointer, 2-5 the caller's a0 to a3, 6 place of its a4 to a7, 7-10 those.
// int setjmp(jmp_buf)
	.p2align 2
	.global setjmp
	.type setjmp, @function
setjmp:
	entry	a1, 48
	movi	a10, 10
	call8	.Lspill
	s32i	a0, a2, 0
	s32i	a1, a2, 4
	addi	a3, a1, -16
	l32i	a4, a3, 0
	l32i	a5, a3, 4
	l32i	a6, a3, 8
	l32i	a7, a3, 12
	s32i	a4, a2, 8
	s32i	a5, a2, 12
	s32i	a6, a2, 16
	s32i	a7, a2, 20
	// a5 is the caller's stack pointer; below it is that of the caller's caller
	addi	a3, a5, -16
	l32i	a3, a3, 4
	addi	a3, a3, -32
	s32i	a3, a2, 24
	l32i	a4, a3, 0
	l32i	a5, a3, 4
	l32i	a6, a3, 8
	l32i	a7, a3, 12
	s32i	a4, a2, 28
	s32i	a5, a2, 32
	s32i	a6, a2, 36
	s32i	a7, a2, 40
	movi	a2, 0
	retw

// void longjmp(jmp_buf, int): becomes the setjmp that filled the buffer, and returns from it
	.p2align 2
	.global longjmp
	.type longjmp, @function
longjmp:
	entry	a1, 48
	movi	a10, 10
	call8	.Lspill
	l32i	a0, a2, 0
	l32i	a1, a2, 4
	addi	a8, a1, -16
	l32i	a4, a2, 8
	l32i	a5, a2, 12
	l32i	a6, a2, 16
	l32i	a7, a2, 20
	s32i	a4, a8, 0
	s32i	a5, a8, 4
	s32i	a6, a8, 8
	s32i	a7, a8, 12
	l32i	a8, a2, 24
	l32i	a4, a2, 28
	l32i	a5, a2, 32
	l32i	a6, a2, 36
	l32i	a7, a2, 40
	s32i	a4, a8, 0
	s32i	a5, a8, 4
	s32i	a6, a8, 8
	s32i	a7, a8, 12
	or	a2, a3, a3
	bnez	a2, .Lreturn
	movi	a2, 1
.Lreturn:
	retw

@ memset and memcpy of the boot ROM: firmware's own go through them. Words at a time where the addresses allow it.
    .syntax unified
    .cpu cortex-m0plus
    .thumb
    .section .text.memory, "ax"

    @ r0: to, r1: byte, r2: length -> r0
    .thumb_func
    .global rom_memset
rom_memset:
    push {r0, r4, lr}
    uxtb r1, r1
    lsls r3, r1, #8
    orrs r1, r3
    lsls r3, r1, #16
    orrs r1, r3
    movs r4, #3
1:  tst r0, r4                          @ single bytes up to a word's border
    beq 2f
    subs r2, #1
    blo 5f
    strb r1, [r0]
    adds r0, #1
    b 1b
2:  movs r3, r1
    movs r4, r1
3:  subs r2, #12
    blo 4f
    stmia r0!, {r1, r3, r4}
    b 3b
4:  adds r2, #12
6:  subs r2, #1
    blo 5f
    strb r1, [r0]
    adds r0, #1
    b 6b
5:  pop {r0, r4, pc}

    @ r0: to, r1: from, r2: length -> r0
    .thumb_func
    .global rom_memcpy
rom_memcpy:
    push {r0, r4, r5, lr}
    movs r3, r0
    eors r3, r1
    movs r4, #3
    tst r3, r4
    bne 4f                              @ never aligned together
1:  tst r0, r4
    beq 2f
    subs r2, #1
    blo 5f
    ldrb r3, [r1]
    strb r3, [r0]
    adds r1, #1
    adds r0, #1
    b 1b
2:  subs r2, #12
    blo 3f
    ldmia r1!, {r3, r4, r5}
    stmia r0!, {r3, r4, r5}
    b 2b
3:  adds r2, #12
4:  subs r2, #1
    blo 5f
    ldrb r3, [r1]
    strb r3, [r0]
    adds r1, #1
    adds r0, #1
    b 4b
5:  pop {r0, r4, r5, pc}

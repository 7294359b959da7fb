// Variadic functions for clang 22, whose own va_arg for windowed Xtensa looks for registers and stack at wrong places.
//
// The caller puts words 0 to 5 of the arguments into registers and the rest on the stack; what takes 8 bytes starts at
// an even word. The compiler's va_start knows three things: where the registers behind the named arguments were saved,
// the stack's arguments less 32 bytes, and how many bytes of registers the named arguments took.
#ifndef PICOFED_XTENSA_STDARG_H
#define PICOFED_XTENSA_STDARG_H

#define PICOFED_VA_REGISTERS 6u

typedef struct {
    char *stack;     // where word 0 would be if all arguments were on the stack
    char *registers; // where word 0 would be if all registers had been saved
    unsigned word;   // the next argument's
} __gnuc_va_list[1];
typedef __gnuc_va_list va_list;

struct picofed_va_start {
    char *stack;
    char *registers;
    unsigned bytes;
};

static inline __attribute__((unused)) void *picofed_va_next(__gnuc_va_list list, unsigned size, unsigned align) {
    if (align > 4 && list->word % 2 != 0) {
        list->word++;
    }
    char *base = list->word < PICOFED_VA_REGISTERS ? list->registers : list->stack;
    char *at = base + 4 * list->word;
    list->word += (size + 3) / 4;
    return at;
}

#define va_start(list, last)                                                                                           \
    do {                                                                                                               \
        union {                                                                                                        \
            __builtin_va_list theirs;                                                                                  \
            struct picofed_va_start ours;                                                                              \
        } picofed_va;                                                                                                  \
        __builtin_va_start(picofed_va.theirs, last);                                                                   \
        (list)->stack = picofed_va.ours.stack + 32 - 4 * PICOFED_VA_REGISTERS;                                         \
        (list)->registers = picofed_va.ours.registers - picofed_va.ours.bytes;                                         \
        (list)->word = picofed_va.ours.bytes / 4;                                                                      \
    } while (0)
#define va_arg(list, type) (*(type *)picofed_va_next((list), sizeof(type), _Alignof(type)))
#define va_end(list) ((void)(list))
#define va_copy(to, from) ((void)(*(to) = *(from)))

#endif

#include <stddef.h>
#include <stdio.h>

void say(const char *text, size_t len);
void answers(void);

void say(const char *text, size_t len) {
    fwrite(text, 1, len, stdout);
}

int main(void) {
    answers();
    return 0;
}

/* Reads many transport streams from standard input, each after its length in four bytes of this
 * machine's order, and looks at every byte that comes of them. For sanitizers. */
#include "transport.c"

#include <stdio.h>

static unsigned long touch(const struct buffer *buffer)
{
    unsigned long sum = 0;
    size_t at;
    for (at = 0; at < buffer->size; at++)
        sum += buffer->data[at];
    return sum;
}

static unsigned long look(struct transport *all)
{
    unsigned long sum = touch(m0_transport_order(all)) + touch(m0_transport_sizes(all));
    int number;
    for (number = 0; number < all->count; number++) {
        const struct found *found = m0_transport_found(all, number);
        sum += touch(&found->payloads) + touch(&found->sizes) + touch(&found->pts) +
               touch(&found->dts) + touch(&found->keys);
    }
    return sum;
}

int main(int count, char **texts)
{
    int pids[3] = {256, 257, 258}, kinds[3] = {atoi(texts[1]), ADTS, ADTS};
    unsigned long sum = 0, streams = 0, odd_ones = 0;
    uint32_t size;
    (void)count;
    while (fread(&size, sizeof size, 1, stdin) == 1) {
        /* As long as it is, so that a step too far is seen. */
        uint8_t *data = malloc(size);
        struct transport *all = m0_transport_open(3, pids, kinds);
        const char *odd;
        if (!data || !all || fread(data, 1, size, stdin) != size)
            return 2;
        odd = m0_transport_read(all, data, size / 2);
        sum += look(all);
        if (!odd) {
            size_t rest = size / 2 / PACKET_BYTES * PACKET_BYTES;
            odd = m0_transport_read(all, data + rest, size - rest);
            sum += look(all);
        }
        if (!odd)
            odd = m0_transport_end(all);
        sum += look(all);
        odd_ones += odd != NULL;
        streams++;
        m0_transport_close(all);
        free(data);
    }
    printf("%lu %lu %lu\n", streams, odd_ones, sum);
    return 0;
}

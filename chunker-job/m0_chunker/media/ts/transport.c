/* Reads an MPEG transport stream of the ordinary kind: packets of 188 bytes, each PES packet one
 * picture (H.264, HEVC) or whole frames of AAC. Gives what goes into MP4: NAL units with their
 * lengths before them instead of start codes, AAC frames without their ADTS headers.
 *
 * Whatever is not of that kind, or is damaged, ends the reading with a reason: the caller then
 * leaves the film to libav. So nothing is guessed here, and nothing repaired.
 *
 * ISO/IEC 13818-1, 2.4.3; 14496-10, 7.4.1.2; 23008-2, 7.4.2.4; 13818-7, 6.2.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PACKET_BYTES = 188, PIDS = 8192, MAX_STREAMS = 100, MAX_WAITING_BYTES = 32 << 20 };
enum kind { H264 = 1, HEVC = 2, ADTS = 3 };
enum { TICKS = 90000, MAX_STEP = 10 * TICKS, AAC_SAMPLES = 1024 };

#define NO_TIME INT64_MIN

static const char NO_MEMORY[] = "there is no memory";

/* Bytes that grow as needed. */
struct buffer {
    uint8_t *data;
    size_t size, capacity;
};

/* What was found of one stream since the caller last took it. Behind the payloads lies the one of
 * the packet that is held back. */
struct found {
    struct buffer payloads; /* one after the other */
    struct buffer sizes;    /* uint32_t each */
    struct buffer pts, dts; /* int64_t each, 1/90000 s */
    struct buffer keys;     /* 1: a key frame */
};

/* A packet that was found. libav might still add to it what follows, so it is held back until the
 * next one of its stream was found to be in order. */
struct held {
    int is_there, is_key;
    uint32_t size, film_size; /* as it is given, and as it is in the film */
    int64_t pts, dts;
};

struct stream {
    enum kind kind;
    int counter;          /* of the last packet that had a payload; -1: none came */
    int open;             /* a PES packet has begun */
    int64_t pts, dts;     /* its own */
    size_t expected;      /* bytes of its payload; 0: until the next one begins */
    struct buffer pes;    /* its payload so far */
    struct buffer header; /* SPS, or the fixed part of an ADTS header: the same all along */
    struct held held;
    struct found found;
};

struct transport {
    int count;
    uint8_t numbers[PIDS]; /* which stream, 255: none */
    struct stream streams[MAX_STREAMS];
    struct buffer order; /* whose packets were found, one byte each */
    struct buffer sizes; /* of all of these as they are in the film, uint32_t each */
    size_t waiting;      /* bytes of PES packets that have begun */
};

static int grow(struct buffer *buffer, size_t more)
{
    size_t capacity = buffer->capacity ? buffer->capacity : 4096;
    while (capacity - buffer->size < more)
        capacity *= 2;
    if (capacity != buffer->capacity) {
        uint8_t *data = realloc(buffer->data, capacity);
        if (!data)
            return 0;
        buffer->data = data;
        buffer->capacity = capacity;
    }
    return 1;
}

static int append(struct buffer *buffer, const void *data, size_t size)
{
    if (!grow(buffer, size))
        return 0;
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return 1;
}

/* Whether `header` is what it was the first time. */
static int is_same(struct buffer *known, const uint8_t *header, size_t size)
{
    if (!known->size)
        return append(known, header, size);
    return known->size == size && !memcmp(known->data, header, size);
}

/* Gives what was held back: in all columns, or where there is no memory in none. */
static const char *let_go(struct transport *all, struct stream *stream)
{
    struct found *found = &stream->found;
    struct held *held = &stream->held;
    uint8_t key = (uint8_t)held->is_key, number = (uint8_t)(stream - all->streams);

    if (!held->is_there)
        return NULL;
    if (!grow(&found->sizes, sizeof held->size) || !grow(&found->pts, sizeof held->pts) ||
        !grow(&found->dts, sizeof held->dts) || !grow(&found->keys, sizeof key) ||
        !grow(&all->order, sizeof number) || !grow(&all->sizes, sizeof held->film_size))
        return NO_MEMORY;
    append(&found->sizes, &held->size, sizeof held->size);
    append(&found->pts, &held->pts, sizeof held->pts);
    append(&found->dts, &held->dts, sizeof held->dts);
    append(&found->keys, &key, sizeof key);
    append(&all->order, &number, sizeof number);
    append(&all->sizes, &held->film_size, sizeof held->film_size);
    found->payloads.size += held->size;
    held->is_there = 0;
    held->size = 0;
    return NULL;
}

/* Takes in a packet whose payload was put behind that of the one that was held back. */
static const char *hold(struct transport *all, struct stream *stream, struct held found)
{
    const char *odd = let_go(all, stream);
    stream->held = found;
    return odd || stream->kind != ADTS ? odd : let_go(all, stream);
}

/* Room for so many bytes behind what is held back; NULL: there is none. */
static uint8_t *room(struct stream *stream, size_t size)
{
    struct buffer *payloads = &stream->found.payloads;
    if (!grow(payloads, stream->held.size + size))
        return NULL;
    return payloads->data + payloads->size + stream->held.size;
}

/* The bytes of a unit, without those that keep start codes out of it. */
struct bytes {
    const uint8_t *at, *end;
    int zeros;
};

/* The next one; -1: there is none. */
static int next_byte(struct bytes *bytes)
{
    if (bytes->zeros >= 2 && bytes->at < bytes->end && *bytes->at == 3) {
        bytes->at++;
        bytes->zeros = 0;
    }
    if (bytes->at >= bytes->end)
        return -1;
    bytes->zeros = *bytes->at ? 0 : bytes->zeros + 1;
    return *bytes->at++;
}

/* A number of an SEI message; -1: it is not whole. */
static long next_number(struct bytes *bytes)
{
    long number = 0;
    int byte;
    while ((byte = next_byte(bytes)) == 255)
        number += byte;
    return byte < 0 ? -1 : number + byte;
}

enum { RECOVERY_POINT = 6, PICTURE_TIMING = 1 };

/* Whether an SEI unit's messages, after its header, are such as nothing depends on, or the first
 * one is a recovery point, which sets `recovers`. (Behind another one, whether libav sees it hangs
 * on what it makes of that; so does a number of more than 15 bits.) */
static int is_usual(const uint8_t *at, const uint8_t *end, int *recovers)
{
    struct bytes bytes = {at, end, 0};
    int first = 1;
    while (bytes.end - bytes.at > 1) { /* the last byte is a stop bit */
        long kind = next_number(&bytes), size = next_number(&bytes);
        if (size < 0 || kind == PICTURE_TIMING)
            return 0;
        if (kind == RECOVERY_POINT) {
            if (!first || !size || !*bytes.at)
                return 0;
            *recovers = 1;
        }
        while (size--)
            if (next_byte(&bytes) < 0)
                return 0;
        first = 0;
    }
    return 1;
}

/* What a picture consists of, as far as seen. */
struct picture {
    int begun, is_key, recovers;
};

/* A slice; `is_first`: it begins its picture. */
static const char *take_slice(struct picture *picture, int is_first, int is_key)
{
    if (is_first && picture->begun)
        return "two pictures are in one packet";
    if (!is_first && !picture->begun)
        return "a picture has no beginning";
    picture->begun = 1;
    picture->is_key |= is_key;
    return NULL;
}

static const char *look_at_avc(struct stream *stream, struct picture *picture, const uint8_t *unit,
                               size_t size)
{
    int kind = unit[0] & 31;
    switch (kind) {
    case 1:
    case 5:
        if (size < 2)
            return "a slice has no header";
        return take_slice(picture, unit[1] & 0x80, kind == 5 || picture->recovers);
    case 6:
        if (!is_usual(unit + 1, unit + size, &picture->recovers))
            return "its pictures say how long they are shown";
        break;
    case 7:
        if (!is_same(&stream->header, unit, size))
            return "its pictures change";
        break;
    case 8:
    case 9:
        break;
    case 10:
    case 11:
    case 12:
        return NULL;
    default:
        return "a unit is of an unusual kind";
    }
    return picture->begun ? "a packet goes on after its picture" : NULL;
}

static const char *look_at_hevc(struct stream *stream, struct picture *picture,
                                const uint8_t *unit, size_t size)
{
    int kind = unit[0] >> 1 & 63;
    if (size < 3 || (unit[0] & 1) || (unit[1] & 0xF8))
        return "a unit is of another layer";
    if (kind < 32)
        return take_slice(picture, unit[2] & 0x80, kind >= 16 && kind <= 23);
    if (kind == 38 || kind == 40)
        return NULL;
    if (kind == 39 && !is_usual(unit + 2, unit + size, &picture->recovers))
        return "its pictures say how long they are shown";
    if (kind == 33 && !is_same(&stream->header, unit, size))
        return "its pictures change";
    if (kind > 39 || kind == 36 || kind == 37)
        return "a unit is of an unusual kind";
    return picture->begun ? "a packet goes on after its picture" : NULL;
}

/* The next 00 00 01 from `at` on; `end`: there is none. */
static const uint8_t *find_start_code(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *one = end - at > 2 ? at + 2 : end;
    while (one < end && (one = memchr(one, 1, (size_t)(end - one)))) {
        if (!one[-1] && !one[-2])
            return one - 2;
        one++;
    }
    return end;
}

static const char *take_picture(struct transport *all, struct stream *stream)
{
    const struct buffer *pes = &stream->pes;
    const uint8_t *end = pes->data + pes->size, *at = find_start_code(pes->data, end), *code;
    /* Each unit of at least one byte has three of start code before it. */
    uint8_t *begin = room(stream, pes->size + pes->size / 3 + 4), *out = begin;
    struct picture picture = {0, 0, 0};

    if (!begin)
        return NO_MEMORY;
    for (code = pes->data; code < at; code++)
        if (*code)
            return "a picture does not begin with its packet";
    while (at < end) {
        const uint8_t *unit = at + 3, *next = find_start_code(unit, end), *after = next;
        const char *odd;
        size_t size;
        while (after > unit && !after[-1]) /* no NAL unit ends with a zero */
            after--;
        at = next;
        size = (size_t)(after - unit);
        if (!size)
            continue;
        if (unit[0] & 0x80)
            return "a unit is damaged";
        odd = stream->kind == H264 ? look_at_avc(stream, &picture, unit, size)
                                   : look_at_hevc(stream, &picture, unit, size);
        if (odd)
            return odd;
        *out++ = (uint8_t)(size >> 24);
        *out++ = (uint8_t)(size >> 16);
        *out++ = (uint8_t)(size >> 8);
        *out++ = (uint8_t)size;
        memcpy(out, unit, size);
        out += size;
    }
    if (!picture.begun)
        return "a packet has no picture";
    return hold(all, stream,
                (struct held){1, picture.is_key, (uint32_t)(out - begin), (uint32_t)pes->size,
                              stream->pts, stream->dts});
}

/* a * b / c, to the nearest; as libav's av_rescale does for what is not negative. */
static int64_t rescale(int64_t a, int64_t b, int64_t c)
{
    return (a * b + c / 2) / c;
}

static const char *take_frames(struct transport *all, struct stream *stream)
{
    static const int rates[16] = {96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                  22050, 16000, 12000, 11025, 8000,  7350};
    const uint8_t *at = stream->pes.data, *end = at + stream->pes.size;
    int64_t pts = stream->pts;

    while (at < end) {
        uint8_t fixed[3], *out;
        size_t size, header;
        int64_t rate, number;
        const char *odd;
        if (end - at < 9 || at[0] != 0xFF || (at[1] & 0xF6) != 0xF0)
            return "a frame of sound does not begin where it should";
        size = (size_t)((at[3] & 3) << 11 | at[4] << 3 | at[5] >> 5);
        header = at[1] & 1 ? 7 : 9;
        fixed[0] = at[1], fixed[1] = at[2], fixed[2] = at[3] & 0xF0;
        rate = rates[at[2] >> 2 & 15];
        if (size <= header || size > (size_t)(end - at) || at[6] & 3 || !rate)
            return "a frame of sound is not whole, or several in one";
        if (!is_same(&stream->header, fixed, sizeof fixed))
            return "its sound changes";
        if (!(out = room(stream, size - header)))
            return NO_MEMORY;
        memcpy(out, at + header, size - header);
        if ((odd = hold(all, stream,
                        (struct held){1, 1, (uint32_t)(size - header), (uint32_t)size, pts, pts})))
            return odd;
        at += size;
        /* As libav's av_add_stable: rounding does not add up. */
        number = rescale(pts, rate, (int64_t)TICKS * AAC_SAMPLES);
        pts += rescale(number + 1, (int64_t)TICKS * AAC_SAMPLES, rate) -
               rescale(number, (int64_t)TICKS * AAC_SAMPLES, rate);
    }
    return NULL;
}

static const char *finish(struct transport *all, struct stream *stream)
{
    const char *odd;
    if (stream->expected && stream->pes.size != stream->expected)
        return "a packet is not as long as it says";
    odd = stream->kind == ADTS ? take_frames(all, stream) : take_picture(all, stream);
    all->waiting -= stream->pes.size;
    stream->pes.size = 0;
    stream->open = 0;
    return odd;
}

static int64_t read_time(const uint8_t *at)
{
    return (int64_t)(at[0] >> 1 & 7) << 30 | at[1] << 22 | (at[2] >> 1) << 15 | at[3] << 7 |
           at[4] >> 1;
}

/* The header of a PES packet; its payload begins after `*begin` bytes. */
static const char *begin_pes(struct stream *stream, const uint8_t *data, size_t size, size_t *begin)
{
    size_t length, header;
    int64_t before = stream->dts;
    int times;

    if (size < 9 || data[0] || data[1] || data[2] != 1)
        return "a packet does not begin where it should";
    if (!((data[3] & 0xF0) == 0xE0 || (data[3] & 0xE0) == 0xC0 || data[3] == 0xBD ||
          data[3] == 0xFD) || (data[6] & 0xF0) != 0x80)
        return "a packet is of an unusual kind";
    length = (size_t)(data[4] << 8 | data[5]);
    times = data[7] >> 6;
    header = 9 + data[8];
    if (times < 2 || data[8] < (times == 3 ? 10 : 5) || header > size)
        return "a packet has no time";
    if (length && length + 6 <= header)
        return "a packet has no payload";
    stream->pts = read_time(data + 9);
    stream->dts = times == 3 ? read_time(data + 14) : stream->pts;
    if (stream->pts < stream->dts || stream->pts - stream->dts > MAX_STEP ||
        (before != NO_TIME && (stream->dts <= before || stream->dts - before > MAX_STEP)))
        return "its times jump";
    stream->expected = length ? length + 6 - header : 0;
    stream->open = 1;
    *begin = header;
    return NULL;
}

static const char *take_payload(struct transport *all, struct stream *stream, int begins,
                                const uint8_t *data, size_t size)
{
    const char *odd;
    if (begins) {
        size_t begin;
        if (stream->open && (odd = finish(all, stream)))
            return odd;
        if ((odd = begin_pes(stream, data, size, &begin)))
            return odd;
        data += begin;
        size -= begin;
    } else if (!stream->open)
        /* Before the first one that begins. */
        return stream->dts == NO_TIME ? NULL : "there is something between packets";
    all->waiting += size;
    if (all->waiting > MAX_WAITING_BYTES)
        return "a packet is absurdly long";
    if (!append(&stream->pes, data, size))
        return NO_MEMORY;
    if (stream->expected && stream->pes.size >= stream->expected)
        return finish(all, stream);
    return NULL;
}

static const char *take_packet(struct transport *all, const uint8_t *packet)
{
    int number, counter = packet[3] & 15;
    size_t begin = 4;
    struct stream *stream;

    if (packet[0] != 0x47)
        return "its packets are not 188 bytes long";
    number = all->numbers[(packet[1] & 31) << 8 | packet[2]];
    if (number == 255)
        return NULL;
    stream = &all->streams[number];
    if ((packet[1] & 0x80) || (packet[3] & 0xC0) || !(packet[3] & 0x30))
        return "a packet is damaged or scrambled";
    if (packet[3] & 0x20) {
        begin = 5 + (size_t)packet[4];
        if (packet[4] && packet[5] & 0x80)
            return "its clock jumps";
    }
    if (!(packet[3] & 0x10))
        return NULL;
    if (begin >= PACKET_BYTES)
        return "a packet has no payload";
    if (stream->counter >= 0 && counter != ((stream->counter + 1) & 15))
        return "packets are missing";
    stream->counter = counter;
    return take_payload(all, stream, packet[1] & 0x40, packet + begin, PACKET_BYTES - begin);
}

/* A reader of streams of these PIDs and kinds; NULL: they are too many, or there is no memory. */
struct transport *m0_transport_open(int count, const int *pids, const int *kinds)
{
    struct transport *all = count <= MAX_STREAMS ? calloc(1, sizeof *all) : NULL;
    int number;
    if (!all)
        return NULL;
    memset(all->numbers, 255, sizeof all->numbers);
    all->count = count;
    for (number = 0; number < count; number++) {
        struct stream *stream = &all->streams[number];
        all->numbers[pids[number] & (PIDS - 1)] = (uint8_t)number;
        stream->kind = (enum kind)kinds[number];
        stream->counter = -1;
        stream->dts = NO_TIME;
    }
    return all;
}

/* The caller has taken what was found, but for what is held back. */
static void forget(struct transport *all)
{
    int number;
    for (number = 0; number < all->count; number++) {
        struct found *found = &all->streams[number].found;
        size_t held = all->streams[number].held.size;
        if (held)
            memmove(found->payloads.data, found->payloads.data + found->payloads.size, held);
        found->payloads.size = found->sizes.size = found->pts.size = found->dts.size = 0;
        found->keys.size = 0;
    }
    all->order.size = all->sizes.size = 0;
}

/* Takes the next packets; NULL, or why it ends here. What was found before that counts. */
const char *m0_transport_read(struct transport *all, const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size / PACKET_BYTES * PACKET_BYTES;
    const char *odd = NULL;
    forget(all);
    for (; data < end && !odd; data += PACKET_BYTES)
        odd = take_packet(all, data);
    return odd;
}

/* The film is at its end; as above. */
const char *m0_transport_end(struct transport *all)
{
    const char *odd = NULL;
    int number;
    forget(all);
    for (number = 0; number < all->count && !odd; number++)
        if (all->streams[number].open)
            odd = finish(all, &all->streams[number]);
    for (number = 0; number < all->count && !odd; number++)
        odd = let_go(all, &all->streams[number]);
    return odd;
}

const struct buffer *m0_transport_order(struct transport *all)
{
    return &all->order;
}

const struct buffer *m0_transport_sizes(struct transport *all)
{
    return &all->sizes;
}

const struct found *m0_transport_found(struct transport *all, int number)
{
    return &all->streams[number].found;
}

static void release(struct buffer *buffer)
{
    free(buffer->data);
}

void m0_transport_close(struct transport *all)
{
    int number;
    for (number = 0; number < all->count; number++) {
        struct stream *stream = &all->streams[number];
        release(&stream->pes), release(&stream->header);
        release(&stream->found.payloads), release(&stream->found.sizes);
        release(&stream->found.pts), release(&stream->found.dts), release(&stream->found.keys);
    }
    release(&all->order), release(&all->sizes);
    free(all);
}

"""Seeded streams of memcache commands, well formed and broken, in text, meta and binary."""

import random
import struct

KEYS = [b"a", b"b", b"key-3", b"n1", b"n2", b"x" * 250, b"\xc3\xa9", b"k\x01"]
NUMBERS = [b"0", b"1", b"7", b"99", b"18446744073709551615", b"18446744073709551616", b"-1", b"+3",
           b"4294967296", b"4294967295", b"abc", b"1x", b"", b"00012", b"2147483648", b"1e3"]
# Not 1 to some minutes: two servers do not expire things at the same instant.
EXPIRIES = [b"abc", b"", b"-9999", b"4294967295", b"18446744073709551616", b"2147483648", b"1e3"]
VERBS = [b"set", b"add", b"replace", b"append", b"prepend"]
ODD = [b"\r\n", b"\n", b"GET a\r\n", b"bogus\r\n", b"get\r\n", b"set\r\n", b"a b c\r\n",
       b"get a\0b\r\n", b"\t\r\n", b"gets  \r\n", b"mget a\r\n", b"cas a 0 0 1\r\n1\r\n",
       b"incr a\r\n", b"touch a\r\n", b"delete\r\n", b"stats bogus\r\n", b"stats cachedump 1 1\r\n",
       b"stats cachedump\r\n", b"stats detail dump\r\n", b"stats items\r\n", b"stats slabs\r\n",
       b"stats sizes\r\n", b"stats conns\r\n", b"stats reset\r\n", b"stats reset x\r\n",
       b"stats detail\r\n", b"stats detail on x\r\n", b"stats settings\r\n", b"stats\r\n"]


class Stream:
    """A seeded source of commands: pieces of bytes, each a command as it is sent."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def key(self):
        return self.random.choice(KEYS if self.random.random() < 0.97 else [b"y" * 251, b""])

    def number(self, usual):
        r = self.random
        return r.choice(NUMBERS) if r.random() < 0.08 else b"%d" % r.choice(usual)

    def exptime(self, *usual):
        r = self.random
        return r.choice(EXPIRIES) if r.random() < 0.08 else b"%d" % r.choice(usual)

    def spaced(self, *words, whole=False):
        """Joins with one space, rarely with more, or, unless `whole`, leaves a word out or puts one
        in."""
        r, words = self.random, list(words)
        if r.random() < 0.03 and not whole:
            del words[r.randrange(len(words))]
        if r.random() < 0.03 and not whole:
            words.insert(r.randrange(len(words) + 1), r.choice([b"0", b"noreply", b"z"]))
        text = b""
        for i, word in enumerate(words):
            text += (b" " * (r.randrange(1, 4) if r.random() < 0.05 else 1) if i else b"") + word
        if r.random() < 0.03:
            text = b" " * r.randrange(3) + text + b" " * r.randrange(3)
        return text + (b"\n" if r.random() < 0.03 else b"\r\n")

    def noreply(self):
        return [b"noreply"] if self.random.random() < 0.1 else []

    def value(self):
        r = self.random
        kind = r.random()
        if kind < 0.35:
            # From 2^63 on it depends on what is behind the value in memcached's memory whether it
            # counts as a number: a minus sign there makes it none.
            return b"%d" % r.choice([0, 1, 9, 10, 99, 12345, 2**62 - 1, 2**62 - 10])
        if kind < 0.4:
            return r.choice([b"18446744073709551616", b"-1", b"1 ", b"abc", b"12abc", b"",
                             b"get a\r\n", b"9" * 21])
        return bytes(r.randrange(33, 256) for _ in range(r.choice([0, 1, 5, 30, 200])))

    def store(self):
        r, value = self.random, self.value()
        length = len(value) if r.random() < 0.97 else max(0, len(value) + r.randrange(-2, 3))
        # Of a value of white space alone memcached reads on in its memory for a number.
        length = b"%d" % (length if value else 0)
        if r.random() < 0.02:
            length = r.choice([b"-1", b"x", b"4294967297"])
        exptime = self.exptime(0, 0, 0, 0, 0, 1000, -1, 2592001)
        words = [r.choice(VERBS), self.key(), self.number([0, 1, 42]), exptime, length]
        if r.random() < 0.15:
            words[0] = b"cas"
            words.append(self.cas())
        # A long number or a cas unique must not become the length.
        whole = len(exptime) > 5 or words[0] == b"cas"
        end = b"\r\n" if r.random() < 0.98 else b"x\r\n"
        return self.spaced(*words, *self.noreply(), whole=whole) + value + end

    def cas(self):
        """@n@ stands for the n-th cas unique that the server gave."""
        r = self.random
        return b"@%d@" % r.randrange(1, 40) if r.random() < 0.7 else self.number([0, 1, 2**63])

    def keys(self):
        return [self.key() for _ in range(self.random.choice([1, 1, 1, 2, 5, 30]))]

    def flag(self, letter):
        """A flag of a meta command, rarely a wrong one."""
        r = self.random
        exptime = b"%d" % r.choice([0, 1000, 3000, 3000])
        if r.random() < 0.02:
            return letter + r.choice([b"", b"x", b"-1x", b"50x"])
        return letter + {b"O": b"opaque", b"N": exptime, b"T": exptime, b"F": self.number([0, 7]),
                         b"R": b"%d" % r.choice([0, 30, 2000]), b"C": self.cas(), b"J": b"13",
                         b"D": self.number([1, 7]), b"M": b"%c" % r.choice(b"EAPRSID+-x"),
                         b"P": b"path", b"L": b"x"}.get(letter, b"")

    def flags(self, letters):
        """Some of the flags, in any order, but for t: it comes last. Behind T and N memcached tells
        what these have set, before them what was there."""
        r = self.random
        chosen = [x for x in letters if r.random() < 0.25]
        r.shuffle(chosen)
        # What R says of an expiry that the same command sets depends on the order too.
        if b"T" in chosen and b"R" in chosen:
            chosen.remove(b"R")
        chosen.sort(key=lambda x: x == b"t")
        words = [self.flag(x) for x in chosen]
        if r.random() < 0.02:
            words.append(r.choice([b"z", b"v", b"q", b"\xff", b"E1", b"S2"]))
        return words

    def meta(self):
        r = self.random
        kind = r.random()
        key, letters = self.key(), []
        if r.random() < 0.1:
            key, letters = r.choice([b"YQ==", b"Yg==", b"bjE=", b"zz", b"AA=="]), [b"b"]
        if kind < 0.4:
            split = [x.encode() for x in "vsfktcOqhluNRTPL"]
            return self.spaced(b"mg", key, *letters, *self.flags(split), whole=True)
        if kind < 0.7:
            value = self.value()
            split = [x.encode() for x in "kcOqTFIMC"]
            head = self.spaced(b"ms", key, b"%d" % len(value), *letters, *self.flags(split),
                               whole=True)
            return head + value + (b"\r\n" if r.random() < 0.98 else b"x\r\n")
        if kind < 0.82:
            split = [x.encode() for x in "kOqITC"]
            return self.spaced(b"md", key, *letters, *self.flags(split), whole=True)
        if kind < 0.95:
            split = [x.encode() for x in "vktcOqNJDTM"]
            return self.spaced(b"ma", key, *letters, *self.flags(split), whole=True)
        return r.choice([b"mn\r\n", b"mg\r\n", b"ms a\r\n", b"md\r\n", b"ma\r\n", b"me\r\n",
                         b"me a\r\n", b"me YQ== b\r\n", b"me zz b\r\n", b"mz a\r\n",
                         b"mg a " + b"v " * 20 + b"\r\n", b"ms a -1\r\n", b"ms a x\r\n",
                         b"mg a O" + b"o" * 32 + b"\r\n", b"md a O" + b"o" * 32 + b"\r\n"])

    def command(self):
        r = self.random
        if r.random() < 0.35:
            return self.meta()
        kind = r.random()
        if kind < 0.35:
            return self.store()
        if kind < 0.6:
            return self.spaced(r.choice([b"get", b"gets", b"gets"]), *self.keys())
        if kind < 0.66:
            # Before a key that is too long memcached touches: kai refuses the whole line.
            keys = [key for key in self.keys() if len(key) <= 250]
            return self.spaced(r.choice([b"gat", b"gats"]), self.exptime(0, 0, 1000, -1), *keys)
        if kind < 0.8:
            delta = self.number([0, 1, 5, 1000, 2**40])
            return self.spaced(r.choice([b"incr", b"decr"]), self.key(), delta, *self.noreply())
        if kind < 0.86:
            return self.spaced(b"delete", self.key(), *r.choice([[], [], [b"0"], [b"5"]]),
                               *self.noreply())
        if kind < 0.92:
            return self.spaced(b"touch", self.key(), self.exptime(0, 1000, -1), *self.noreply())
        if kind < 0.95:
            return self.spaced(*r.choice([[b"version"], [b"verbosity", b"1"], [b"verbosity"],
                                          [b"flush_all"], [b"flush_all", b"0"],
                                          [b"flush_all", b"x"], [b"flush_all", b"-1"],
                                          [b"flush_all", b"noreply"]]))
        return r.choice(ODD)


class BinaryStream:
    """A seeded source of packets."""

    STORE = {0x01, 0x02, 0x03, 0x11, 0x12, 0x13}
    COUNT = {0x05, 0x06, 0x15, 0x16}
    JOIN = {0x0e, 0x0f, 0x19, 0x1a}
    TOUCH = {0x1c, 0x1d, 0x1e, 0x23, 0x24}
    READ = {0x00, 0x04, 0x09, 0x0c, 0x0d, 0x14}
    BARE = [0x08, 0x0a, 0x0b, 0x18, 0x1b, 0x20, 0x30, 0xff]

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.text = Stream(seed + 1)

    def expiry(self):
        return self.random.choice([0, 0, 0, 1000, 2592001])

    def closes(self, opcode, extras, key, _value, _cas):
        return extras.endswith(b"x") or len(key) > 250 or not key and opcode not in self.BARE

    def command(self):
        """A packet with the cas that the server is to fill in: 0, a number, or a name's number."""
        r = self.random
        often = [*self.STORE, *self.COUNT, *self.JOIN, *self.TOUCH, *self.READ, *self.READ]
        opcode = r.choice(often if r.random() < 0.95 else self.BARE)
        key = r.choice(KEYS) if opcode not in self.BARE else b""
        extras, value, cas = b"", b"", 0
        if opcode in self.STORE:
            extras = struct.pack(">II", r.choice([0, 42, 2**32 - 1]), self.expiry())
        elif opcode in self.COUNT:
            extras = struct.pack(">QQI", r.choice([0, 1, 1000, 2**20]), r.choice([0, 17]),
                                 r.choice([0, 1000, 0xffffffff, 0xffffffff]))
        elif opcode in self.TOUCH:
            extras = struct.pack(">I", self.expiry())
        if opcode in self.STORE or opcode in self.JOIN:
            value = self.text.value()
        if r.random() < 0.2:
            cas = r.choice([-1 - r.randrange(40), 2**64 - 2])
        if r.random() < 0.01 and opcode not in (0x1b, 0x30, 0xff):
            extras += b"x"
        if r.random() < 0.005:
            key = r.choice([b"", b"y" * 251])
        return opcode, extras, key, value, cas

    @staticmethod
    def packet(opcode, extras, key, value, cas, opaque):
        return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                           len(extras) + len(key) + len(value), opaque, cas) + extras + key + value

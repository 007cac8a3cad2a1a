"""AES-GCM (FIPS 197, NIST SP 800-38D) in plain Python, for test vectors: slow, and nothing like the code that it checks."""


def _times(a, b):
    """Product in AES's field."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = a << 1 ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def _make_box():
    box = []
    for value in range(256):
        inverse = next((x for x in range(256) if _times(value, x) == 1), 0)
        byte = 0x63
        for turn in range(5):
            byte ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
        box.append(byte)
    return box


BOX = _make_box()


def _round_keys(key):
    words = [key[i:i + 4] for i in range(0, len(key), 4)]
    count, constant = len(words), 1
    for i in range(count, 4 * (count + 7)):
        word = words[-1]
        if i % count == 0:
            word = bytes(BOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _times(constant, 2)
        elif count > 6 and i % count == 4:
            word = bytes(BOX[b] for b in word)
        words.append(bytes(a ^ b for a, b in zip(words[i - count], word)))
    flat = b"".join(words)
    return [flat[i:i + 16] for i in range(0, len(flat), 16)]


def _block(keys, block):
    state = bytes(a ^ b for a, b in zip(block, keys[0]))
    for number, key in enumerate(keys[1:], 1):
        state = bytes(BOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16))
        if number < len(keys) - 1:
            mixed = []
            for column in range(0, 16, 4):
                c = state[column:column + 4]
                mixed += [_times(c[i], 2) ^ _times(c[(i + 1) % 4], 3) ^ c[(i + 2) % 4] ^ c[(i + 3) % 4] for i in range(4)]
            state = bytes(mixed)
        state = bytes(a ^ b for a, b in zip(state, key))
    return state


def _ghash(h, data):
    y = 0
    for at in range(0, len(data), 16):
        y ^= int.from_bytes(data[at:at + 16], "big")
        product, v = 0, y
        for bit in range(127, -1, -1):
            if h >> bit & 1:
                product ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        y = product
    return y


def seal(key, nonce, associated, plain):
    """Ciphertext and tag; the nonce has 12 bytes."""
    keys = _round_keys(key)
    stream = b"".join(_block(keys, nonce + (i + 2).to_bytes(4, "big")) for i in range((len(plain) + 15) // 16))
    sealed = bytes(a ^ b for a, b in zip(plain, stream))
    padded = b"".join(part + bytes(-len(part) % 16) for part in (associated, sealed))
    lengths = (8 * len(associated)).to_bytes(8, "big") + (8 * len(sealed)).to_bytes(8, "big")
    tag = _ghash(int.from_bytes(_block(keys, bytes(16)), "big"), padded + lengths)
    mask = int.from_bytes(_block(keys, nonce + (1).to_bytes(4, "big")), "big")
    return sealed, (tag ^ mask).to_bytes(16, "big")

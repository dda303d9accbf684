// CBOR (RFC 8949), in which authenticators write attestation objects and public keys. This decoder supports CTAP2's
// canonical form, which has no indefinite lengths and no tags. It only shows the content: the server has its own decoder.

/** Decode the item at `start`. Return its value (maps as Map, byte strings as Uint8Array) and the offset of its end. */
export function decodeFirst(bytes, start = 0) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = start;

  function length(additional) {
    if (additional < 24) return additional;
    const size = { 24: 1, 25: 2, 26: 4, 27: 8 }[additional];
    if (!size) throw new RangeError("This CBOR item is not in CTAP2's canonical form.");
    const from = at;
    at += size;
    if (size === 1) return view.getUint8(from);
    if (size === 2) return view.getUint16(from);
    if (size === 4) return view.getUint32(from);
    return Number(view.getBigUint64(from));
  }

  function take(count) {
    if (at + count > bytes.length) throw new RangeError("The CBOR ends too early.");
    at += count;
    return bytes.slice(at - count, at);
  }

  function item() {
    const [initial] = take(1);
    const major = initial >> 5;
    const additional = initial & 0x1f;
    if (major === 7) {
      if (additional === 20 || additional === 21) return additional === 21;
      if (additional === 22) return null;
      throw new RangeError("This CBOR item is not in CTAP2's canonical form.");
    }
    const value = length(additional);
    switch (major) {
      case 0: return value;
      case 1: return -1 - value;
      case 2: return take(value);
      case 3: return new TextDecoder().decode(take(value));
      case 4: return Array.from({ length: value }, item);
      case 5: return new Map(Array.from({ length: value }, () => [item(), item()]));
      default: throw new RangeError("This CBOR item is not in CTAP2's canonical form.");
    }
  }

  const value = item();
  return { value, end: at };
}

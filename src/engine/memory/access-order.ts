/**
 * Who was used when, and how often: the time-ordered list of paper 004 ("Auto Clean-Up": the head holds what was used
 * recently, the tail what is oldest), off the heap. Frequencies are Redis's LFU: a logarithmic counter of 8 bits that loses
 * one for each minute without use.
 *
 * Each record carries four words of this order:
 *
 *     word 0   the next record towards the head (used later), 0 at the head
 *     word 1   the next record towards the tail (used earlier), 0 at the tail
 *     word 2   time of the last use, low 32 bits of 40 (milliseconds since the first clock reading)
 *     word 3   its high 8 bits | frequency (8 bits) | minute of the last decay (16 bits, modulo 2^16)
 *
 * There may be several orders, each for some slots: the groups of a node share a bucket's engine, and the leader of each
 * looks at its own keys only. Order 0 has all other slots.
 *
 * Invariants:
 * - every record of the table is in exactly one order, that of its slot; `count` is the sum of the orders' counts;
 * - from tail to head the times of use never decrease: time never goes back, and whoever is used goes to the head;
 * - the histogram of an order counts its records by their stored frequency.
 *
 * Departures: Redis takes the coldest of a random sample. Here the longest unused is exact. For the least often used a hand
 * goes round the list and takes whoever is as cold as the coldest sixteenth of all, which the histogram tells; so neither hot
 * keys that gather at the tail nor a scan that fills the head can lead it astray.
 */
import { invariant } from '../../base/errors.js';
import { SLOT_COUNT } from '../../base/slots.js';
import { OWN_WORDS_AT, type RecordStore, wordIndex } from './record-store.js';

/** Words that the order needs in each record. */
export const ACCESS_WORDS = 4;

const TO_HEAD = OWN_WORDS_AT;
const TO_TAIL = OWN_WORDS_AT + 1;
const TIME_LOW = OWN_WORDS_AT + 2;
const TIME_HIGH = OWN_WORDS_AT + 3;

const TWO_TO_32 = 2 ** 32;
/** Highest time that fits: some 34 years after the first reading. */
const MAX_TIME_MS = 2 ** 40 - 1;

/** As in Redis: where a new key's counter begins, so that it gets a chance, and how slowly counters grow. */
const INITIAL_FREQUENCY = 5;
const GROWTH_FACTOR = 10;
const MAX_FREQUENCY = 255;
/** A counter loses one for so much time without use. */
const DECAY_MS = 60_000;
const FREQUENCY_SHIFT = 8;
const MINUTE_SHIFT = 16;

/** What counts as cold: this share of the keys, those with the lowest counters. */
const COLD_SHARE = 1 / 16;
/** At least so many records are looked at for one that is given up... */
const MIN_LOOKS = 16;
/** ... and in one call at least so many, because the hot may stand in a row, and at most so many, so that no pause is long. */
const MIN_LOOKS_PER_CALL = 1024;
const MAX_LOOKS_PER_CALL = 8192;

interface Order {
  head: number;
  tail: number;
  count: number;
  /** Records by stored frequency. */
  readonly histogram: Uint32Array;
  /** Where the next search for cold keys goes on; 0: at the tail. */
  hand: number;
}

function newOrder(): Order {
  return { head: 0, tail: 0, count: 0, histogram: new Uint32Array(MAX_FREQUENCY + 1), hand: 0 };
}

/** Return false to stop. */
export type ReferenceVisitor = (reference: number) => boolean;

export class AccessOrder {
  readonly #records: RecordStore;
  readonly #orders: (Order | undefined)[] = [newOrder()];
  readonly #orderOfSlot = new Uint16Array(SLOT_COUNT);
  #count = 0;
  /** The first reading; times are counted from there. */
  #originMs = -1;
  #timeMs = 0;
  #minute = 0;
  /** State of a xorshift generator: the chance by which counters grow need not be good, but must repeat. */
  #chance = 0x9e3779b9;

  constructor(records: RecordStore) {
    this.#records = records;
  }

  get count(): number {
    return this.#count;
  }

  get memoryBytes(): number {
    return this.#orderOfSlot.byteLength + this.#orders.length * 4 * (MAX_FREQUENCY + 1);
  }

  get timeMs(): number {
    return this.#timeMs + Math.max(0, this.#originMs);
  }

  /** The clock that uses are stamped with; earlier than before is taken as unchanged. */
  set timeMs(readingMs: number) {
    if (this.#originMs < 0) this.#originMs = Math.floor(readingMs);
    const timeMs = Math.min(MAX_TIME_MS, Math.floor(readingMs) - this.#originMs);
    if (timeMs <= this.#timeMs) return;
    this.#timeMs = timeMs;
    this.#minute = Math.floor(timeMs / DECAY_MS) & 0xffff;
  }

  countOf(order: number): number {
    return this.#orders[order]?.count ?? 0;
  }

  /**
   * Puts slots into an order, with the records that they hold (`referencesOf`); these keep time and frequency. Takes time in
   * proportion to the records of the order.
   */
  separate(
    number: number,
    slots: Iterable<number>,
    referencesOf: (slot: number, visit: (reference: number) => void) => void,
  ): void {
    invariant(number >= 0 && number < 0x10000, 'orders are numbered with 16 bits');
    this.#orders[number] ??= newOrder();
    const joining: number[] = [];
    for (const slot of slots) {
      if (this.#orderOfSlot[slot] === number) continue;
      referencesOf(slot, (reference) => {
        joining.push(reference);
        this.remove(slot, reference);
      });
      this.#orderOfSlot[slot] = number;
    }
    if (joining.length === 0) return;
    this.walkFromTail(number, (reference) => {
      joining.push(reference);
      return true;
    });
    this.#count -= this.countOf(number);
    const order = newOrder();
    this.#orders[number] = order;
    joining.sort((left, right) => this.usedAtMs(left) - this.usedAtMs(right));
    for (const reference of joining) this.#addKnown(order, reference);
  }

  #order(slot: number): Order {
    return this.#orders[this.#orderOfSlot[slot]!]!;
  }

  /** A new record: it is used now, for the first time. */
  add(slot: number, reference: number): void {
    const order = this.#order(slot);
    const words = this.#records.wordsOf(reference);
    const word = wordIndex(reference);
    this.#stamp(words, word, INITIAL_FREQUENCY);
    order.histogram[INITIAL_FREQUENCY]!++;
    this.#putFirst(order, reference, words, word);
    order.count++;
    this.#count++;
  }

  /** Adds a record that was used no earlier than all in the order, with its time and frequency. */
  #addKnown(order: Order, reference: number): void {
    const words = this.#records.wordsOf(reference);
    const word = wordIndex(reference);
    order.histogram[frequencyIn(words, word)]!++;
    this.#putFirst(order, reference, words, word);
    order.count++;
    this.#count++;
  }

  /** Takes a record out, before it is freed. */
  remove(slot: number, reference: number): void {
    const order = this.#order(slot);
    const words = this.#records.wordsOf(reference);
    const word = wordIndex(reference);
    order.histogram[frequencyIn(words, word)]!--;
    this.#unlink(order, reference, words, word);
    order.count--;
    this.#count--;
  }

  /** A record stands elsewhere now, its words copied: its neighbours learn of it. */
  moved(slot: number, from: number, to: number): void {
    const order = this.#order(slot);
    const words = this.#records.wordsOf(to);
    const word = wordIndex(to);
    const later = words[word + TO_HEAD]!;
    const earlier = words[word + TO_TAIL]!;
    if (later === 0) order.head = to;
    else this.#link(later, TO_TAIL, to);
    if (earlier === 0) order.tail = to;
    else this.#link(earlier, TO_HEAD, to);
    if (order.hand === from) order.hand = to;
  }

  /** A record is used: it goes to the head. Its counter is at least `leastFrequency` from then on. */
  touch(slot: number, reference: number, leastFrequency = 0): void {
    const order = this.#order(slot);
    const words = this.#records.wordsOf(reference);
    const word = wordIndex(reference);
    const before = frequencyIn(words, word);
    const grown = this.#grown(this.#decayed(words, word));
    const frequency = grown < leastFrequency ? Math.min(leastFrequency, MAX_FREQUENCY) : grown;
    if (frequency !== before) {
      order.histogram[before]!--;
      order.histogram[frequency]!++;
    }
    this.#stamp(words, word, frequency);
    if (order.head === reference) return;
    this.#unlink(order, reference, words, word);
    this.#putFirst(order, reference, words, word);
  }

  /** How long a record has not been used. */
  idleMs(reference: number): number {
    return this.#timeMs - this.usedAtMs(reference);
  }

  /** When it was last used, since the first reading. */
  usedAtMs(reference: number): number {
    const words = this.#records.wordsOf(reference);
    const word = wordIndex(reference);
    return (words[word + TIME_HIGH]! & 0xff) * TWO_TO_32 + words[word + TIME_LOW]!;
  }

  frequency(reference: number): number {
    return this.#decayed(this.#records.wordsOf(reference), wordIndex(reference));
  }

  clear(): void {
    for (const [number, order] of this.#orders.entries())
      if (order !== undefined) this.#orders[number] = newOrder();
    this.#count = 0;
  }

  /** From the longest unused on. The visitor must not change the order. */
  walkFromTail(order: number, visitor: ReferenceVisitor): void {
    let reference = this.#orders[order]?.tail ?? 0;
    while (reference !== 0 && visitor(reference)) reference = this.#towardsHead(reference);
  }

  /** The longest unused, from where the last call stopped or from the tail. */
  longestUnused(number: number, maxKeys: number, restart: boolean, visitor: ReferenceVisitor): void {
    const order = this.#orders[number];
    if (order === undefined) return;
    let reference = restart || order.hand === 0 ? order.tail : order.hand;
    for (let given = 0; reference !== 0 && given < maxKeys; given++) {
      const next = this.#towardsHead(reference);
      order.hand = next;
      if (!visitor(reference)) return;
      reference = next;
    }
  }

  /** The least often used, from where the last call stopped. Decays the counters of those it looks at. */
  leastUsed(number: number, maxKeys: number, visitor: ReferenceVisitor): void {
    const order = this.#orders[number];
    if (order === undefined || order.count === 0) return;
    const looks = Math.min(
      order.count,
      MAX_LOOKS_PER_CALL,
      Math.max(maxKeys * MIN_LOOKS, MIN_LOOKS_PER_CALL),
    );
    const cold = this.#coldFrequency(order);
    const passedOver: { readonly reference: number; readonly frequency: number }[] = [];
    let given = 0;
    for (let look = 0; look < looks && given < maxKeys; look++) {
      const reference = order.hand === 0 ? order.tail : order.hand;
      order.hand = this.#towardsHead(reference);
      const frequency = this.#settle(order, reference);
      if (frequency > cold) {
        passedOver.push({ reference, frequency });
        continue;
      }
      given++;
      if (!visitor(reference)) return;
    }
    // Too few cold ones on this stretch: the coldest of the others.
    passedOver.sort((left, right) => left.frequency - right.frequency);
    for (let i = 0; given < maxKeys && i < passedOver.length; i++, given++)
      if (!visitor(passedOver[i]!.reference)) return;
  }

  /** The frequency that the coldest share of the records is not above. */
  #coldFrequency(order: Order): number {
    const wanted = Math.max(1, order.count * COLD_SHARE);
    let seen = 0;
    for (let frequency = 0; frequency < MAX_FREQUENCY; frequency++) {
      seen += order.histogram[frequency]!;
      if (seen >= wanted) return frequency;
    }
    return MAX_FREQUENCY;
  }

  /** Writes down a record's decayed counter, and returns it. */
  #settle(order: Order, reference: number): number {
    const words = this.#records.wordsOf(reference);
    const word = wordIndex(reference);
    const before = frequencyIn(words, word);
    const frequency = this.#decayed(words, word);
    if (frequency !== before) {
      order.histogram[before]!--;
      order.histogram[frequency]!++;
      words[word + TIME_HIGH] =
        (words[word + TIME_HIGH]! & 0xff) | (frequency << FREQUENCY_SHIFT) | (this.#minute << MINUTE_SHIFT);
    }
    return frequency;
  }

  #decayed(words: Uint32Array, word: number): number {
    const high = words[word + TIME_HIGH]!;
    const minutes = (this.#minute - (high >>> MINUTE_SHIFT)) & 0xffff;
    return Math.max(0, ((high >>> FREQUENCY_SHIFT) & 0xff) - minutes);
  }

  /** The counter after one more use: the higher it is, the less likely it grows. */
  #grown(frequency: number): number {
    if (frequency >= MAX_FREQUENCY) return frequency;
    const above = Math.max(0, frequency - INITIAL_FREQUENCY);
    let chance = this.#chance;
    chance ^= chance << 13;
    chance ^= chance >>> 17;
    chance ^= chance << 5;
    this.#chance = chance;
    return (chance >>> 0) * (above * GROWTH_FACTOR + 1) < TWO_TO_32 ? frequency + 1 : frequency;
  }

  #stamp(words: Uint32Array, word: number, frequency: number): void {
    const timeMs = this.#timeMs;
    words[word + TIME_LOW] = timeMs >>> 0;
    words[word + TIME_HIGH] =
      Math.floor(timeMs / TWO_TO_32) | (frequency << FREQUENCY_SHIFT) | (this.#minute << MINUTE_SHIFT);
  }

  #towardsHead(reference: number): number {
    return this.#records.wordsOf(reference)[wordIndex(reference) + TO_HEAD]!;
  }

  #link(reference: number, direction: number, to: number): void {
    this.#records.wordsOf(reference)[wordIndex(reference) + direction] = to;
  }

  #putFirst(order: Order, reference: number, words: Uint32Array, word: number): void {
    words[word + TO_HEAD] = 0;
    words[word + TO_TAIL] = order.head;
    if (order.head === 0) order.tail = reference;
    else this.#link(order.head, TO_HEAD, reference);
    order.head = reference;
  }

  #unlink(order: Order, reference: number, words: Uint32Array, word: number): void {
    const later = words[word + TO_HEAD]!;
    const earlier = words[word + TO_TAIL]!;
    if (order.hand === reference) order.hand = later;
    if (later === 0) order.head = earlier;
    else this.#link(later, TO_TAIL, earlier);
    if (earlier === 0) order.tail = later;
    else this.#link(earlier, TO_HEAD, later);
  }
}

function frequencyIn(words: Uint32Array, word: number): number {
  return (words[word + TIME_HIGH]! >>> FREQUENCY_SHIFT) & 0xff;
}

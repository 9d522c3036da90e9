// Names: what the server takes them for, and how they are seen.

// As the server understands it: a name is the same with a space behind it, which is easily typed.
export const named = (name) => name.normalize("NFC").replace(/^\p{White_Space}+|\p{White_Space}+$/gu, "");

// What leaves no trace, or looks like a plain space, or is a mark on nothing; and the bracket that it is shown in, so
// that nobody is named that.
const UNSEEN = String.raw`^\p{M}|[\p{DI}\u2800\uFFF9-\uFFFB\p{Zl}\p{Zp}⟨]|(?![ \u3000])\p{Zs}`;

// Where such a character belongs, and changes what is seen: between the parts of an emoji, after a virama, and between
// Arabic letters that would be joined without it.
const BELONGING = String.raw`\p{ExtPict}[\uFE0F\u{1F3FB}-\u{1F3FF}]?\u200D(?=\p{ExtPict})` +
  String.raw`|(?!\p{EPres})\p{ExtPict}\uFE0F` +
  String.raw`|[\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D4D\u0DCA][\u200C\u200D](?=\p{L})` +
  String.raw`|(?![\u0621-\u0625\u0627\u0629\u062F-\u0632\u0648\u0671\u0698])\p{Script=Arabic}\u200C(?=\p{L})`;

const SHOWN_BY_NUMBER = new RegExp(`${BELONGING}|(${UNSEEN})`, "gu");

/** The text, with the numbers of what cannot be seen: else "Ann" with a U+200B and one without were two equal rows. */
export function visible(text) {
  const number = (character) => character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return text.replace(SHOWN_BY_NUMBER, (found, unseen) => unseen ? `⟨U+${number(unseen)}⟩` : found);
}

import assert from "node:assert/strict";
import { test } from "node:test";

import { named, visible } from "../../static/names.mjs";

const SEEN = {
  "what can be seen stays as it is": [
    ["Ann", "Ann"],
    ["Ann Lee-O'Hara 2", "Ann Lee-O'Hara 2"],
    ["Zoë Łukasz", "Zoë Łukasz"],
    ["أحمد", "أحمد"],
    ["👋", "👋"],
  ],
  "what leaves no trace is shown by its number": [
    ["Ann\u200B", "Ann⟨U+200B⟩"],
    ["\u2060Ann", "⟨U+2060⟩Ann"],
    ["A\u00ADnn", "A⟨U+00AD⟩nn"],
    ["Ann\u3164", "Ann⟨U+3164⟩"],
    ["Ann\uFE0F", "Ann⟨U+FE0F⟩"],
    ["Ann\u{E0061}", "Ann⟨U+E0061⟩"],
  ],
  "a braille cell without dots is shown": [["Ann\u2800", "Ann⟨U+2800⟩"]],
  "marks of annotations are shown": [["A\uFFF9n\uFFFAn\uFFFB", "A⟨U+FFF9⟩n⟨U+FFFA⟩n⟨U+FFFB⟩"]],
  "what ends lines and paragraphs is shown": [["A\u2028n\u2029n", "A⟨U+2028⟩n⟨U+2029⟩n"]],
  "spaces that look like the plain one are shown": [
    ["Ann\u00A0Lee", "Ann⟨U+00A0⟩Lee"],
    ["Ann\u2003Lee", "Ann⟨U+2003⟩Lee"],
    ["Ann\u202FLee", "Ann⟨U+202F⟩Lee"],
  ],
  "the ideographic space is wider, and stays": [["山田\u3000太郎", "山田\u3000太郎"]],
  "a mark on nothing is shown": [["\u0301Ann", "⟨U+0301⟩Ann"]],
  "a mark on a letter stays": [["x\u0301", "x\u0301"]],
  "the bracket of a number is shown by its own": [["⟨U+200B⟩", "⟨U+27E8⟩U+200B⟩"]],

  "the parts of an emoji stay joined": [
    ["👨\u200D👩\u200D👧", "👨\u200D👩\u200D👧"],
    ["👩🏽\u200D🚀", "👩🏽\u200D🚀"],
    ["❤\uFE0F\u200D🔥", "❤\uFE0F\u200D🔥"],
  ],
  "a joiner on which no emoji follows is shown": [
    ["👨\u200D", "👨⟨U+200D⟩"],
    ["👨\u200Dx", "👨⟨U+200D⟩x"],
    ["👩🏽\u200Dx", "👩🏽⟨U+200D⟩x"],
  ],
  "a joiner before which there is no emoji is shown": [["x\u200D👨", "x⟨U+200D⟩👨"]],
  "a selector that makes an emoji stays": [["❤\uFE0F", "❤\uFE0F"]],
  "a selector on what is an emoji anyway is shown": [["👋\uFE0F", "👋⟨U+FE0F⟩"]],

  "joiners after a virama stay": [
    ["क्\u200Cष", "क्\u200Cष"],
    ["क्\u200Dष", "क्\u200Dष"],
    ["ක්\u200Dෂ", "ක්\u200Dෂ"],
  ],
  "joiners after a virama at the end are shown": [["क्\u200D", "क्⟨U+200D⟩"]],
  "joiners between other letters are shown": [
    ["a\u200Cb", "a⟨U+200C⟩b"],
    ["a\u200Db", "a⟨U+200D⟩b"],
    ["क\u200Cष", "क⟨U+200C⟩ष"],
  ],
  "a non-joiner between Arabic letters that would be joined stays": [["می\u200Cخواهم", "می\u200Cخواهم"]],
  "a non-joiner after an Arabic letter that never joins the next is shown": [["د\u200Cم", "د⟨U+200C⟩م"]],
  "a non-joiner at the end of Arabic is shown": [["می\u200C", "می⟨U+200C⟩"]],
  "a joiner between Arabic letters is shown": [["م\u200Dی", "م⟨U+200D⟩ی"]],
};

for (const [rule, names] of Object.entries(SEEN)) {
  test(rule, () => {
    for (const [name, seen] of names) assert.equal(escaped(visible(name)), escaped(seen));
  });
}

test("two spellings of a name are one", () => {
  assert.equal(named("Zoe\u0308"), "Zo\u00EB");
});

test("white space around a name is none of it", () => {
  assert.equal(named(" \t\u00A0Ann Lee\u3000\u2028 "), "Ann Lee");
});

test("white space is what Unicode calls so: not U+FEFF, which JavaScript trims, but U+0085", () => {
  assert.equal(escaped(named("\uFEFFAnn\u0085")), escaped("\uFEFFAnn"));
});

// As a failure should show it.
function escaped(text) {
  return text.replace(/[^ -~]/gu, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

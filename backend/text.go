package backend

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// invisible are characters without a glyph that Unicode counts as letters, marks or symbols.
var invisible = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x034f, Hi: 0x034f, Stride: 1}, // combining grapheme joiner
		{Lo: 0x115f, Hi: 0x1160, Stride: 1}, // Hangul fillers
		{Lo: 0x17b4, Hi: 0x17b5, Stride: 1}, // Khmer inherent vowels
		{Lo: 0x180b, Hi: 0x180f, Stride: 1}, // Mongolian variation selectors
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, // Braille blank
		{Lo: 0x3164, Hi: 0x3164, Stride: 1}, // Hangul filler
		{Lo: 0xfe00, Hi: 0xfe0d, Stride: 1}, // variation selectors but those of emoji
		{Lo: 0xffa0, Hi: 0xffa0, Stride: 1}, // halfwidth Hangul filler
	},
	R32: []unicode.Range32{{Lo: 0xe0100, Hi: 0xe01ef, Stride: 1}}, // variation selectors
}

// spoofs says whether a character can make a text look like another one, or a terminal do something: controls, bidirectional marks,
// separators of lines, characters without a glyph, and the one that stands for bytes that were no UTF-8. Letters of every script and
// wide spaces are none.
func spoofs(r rune) bool {
	return r == utf8.RuneError || !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) || unicode.Is(invisible, r)
}

// plainText says whether a text is one line that is what it looks like.
func plainText(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, spoofs)
}

// textRule completes the sentence "<field> must be …".
const textRule = "without control, bidirectional and invisible characters"

// cleanText replaces what plainText refuses, for a text that came from somewhere else and cannot be refused.
func cleanText(text string) string {
	if plainText(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if spoofs(r) {
			return '?'
		}
		return r
	}, text)
}

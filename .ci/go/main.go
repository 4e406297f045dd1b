// Writes random patterns, and what Go's regexp says of them, as rows of JSON.
//
// With -seeds FILE, a pattern a line, a third of them are those with a character or two changed.
// With -each FILE, they are the patterns of that file. With -texts 0, the texts are single characters.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Row is one pattern and its verdicts, in the shape of tests/data/go-random.jsonl.
type Row struct {
	Pattern string   `json:"p"`
	Refused string   `json:"r,omitempty"`
	Match   []string `json:"match,omitempty"`
	No      []string `json:"no,omitempty"`
}

// Letters that fold, word characters and not, one to four bytes long, and what Go's classes differ
// over from those of others.
var letters = []rune("abkKsSzZ_09-.,/ \t\n\v\f\r\x00\x7f\u0085\u00a0éßẞſ\u212aǅǆǄÅ\u212bͅιΣσςΩ" +
	"٣\u2028\u2029\ufffd\u1c89Ა𐐀𐐨😀\U0010ffff\U00016ea0\U00016ebb")

var names = []string{
	"L", "Lu", "Ll", "Lt", "N", "Nd", "Nl", "P", "S", "Z", "Zs", "C", "Cc", "Cn", "Cs", "Co", "M", "LC",
	"Greek", "Latin", "Han", "Common", "Inherited", "Tai_Yo", "Any", "ASCII", "Assigned", "Letter",
	"Uppercase_Letter", "uppercaseletter", "digit", "punct", "cntrl", "Cased_Letter", "greek", "GREEK",
	"Alphabetic", "sc=Greek", "Emoji", "", "^", "Foo", " Greek", "Old Italic", "-L", "^Lu",
}

var posix = []string{
	"alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
	"upper", "word", "xdigit", "^alpha", "^space", "^word", "foo", "", "^",
}

// What patterns are made of when no grammar makes them.
var pieces = []string{
	"(", ")", "(?", "(?:", "(?P<", "(?<", "(?i", "(?-s:", "(?i)", "(?s-m:", "(?U)", ">", "[", "[^", "]",
	"[:", ":]", "alpha", "-", "^", "$", ".", "|", "*", "+", "?", "??", "{", "}", ",", "2", "0", "1000",
	"1001", "\\", "\\Q", "\\E", "\\p", "\\P", "\\pL", "\\x{", "\\x4", "\\0", "\\12", "\\1", "Greek",
	"d800", "10ffff", "\\b", "\\B", "\\w", "\\d", "\\s", "\\A", "\\z", "\\Z", "\\C", "a", "k", "é",
	"\u212a", "\x00", "{2}", "{,2}", "{2,}", "{ 2}", "&&", "--", "~~", "\\<", "\\u0041", "(?x)", "(?=",
}

type generator struct{ *rand.Rand }

func pick[T any](g generator, from []T) T { return from[g.IntN(len(from))] }

func (g generator) flags() string {
	var text strings.Builder
	for range g.IntN(5) {
		text.WriteByte("imsUimsU-"[g.IntN(9)])
	}
	if g.IntN(40) == 0 {
		text.WriteByte("xuR-"[g.IntN(4)])
	}
	return text.String()
}

func (g generator) rune() string {
	c := pick(g, letters)
	if g.IntN(12) == 0 {
		c = rune(g.IntN(0x110000))
	}
	switch g.IntN(8) {
	case 0:
		return fmt.Sprintf(`\x{%x}`, c)
	case 1:
		return fmt.Sprintf(`\%o`, c&0x1ff)
	case 2:
		return fmt.Sprintf(`\x%02X`, c&0xff)
	case 3:
		return pick(g, []string{`\a`, `\f`, `\t`, `\n`, `\r`, `\v`, `\.`, `\-`, `\]`, `\_`, `\x{D800}`,
			`\x{DFFF}`, `\x{FFFD}`, `\0`, `\e`, `\8`, `\z`})
	default:
		return regexp.QuoteMeta(string(c))
	}
}

func (g generator) named() string {
	switch g.IntN(3) {
	case 0:
		return pick(g, []string{`\d`, `\D`, `\s`, `\S`, `\w`, `\W`})
	case 1:
		name := pick(g, names)
		if len(name) == 1 && g.IntN(2) == 0 {
			return pick(g, []string{`\p`, `\P`}) + name
		}
		return pick(g, []string{`\p{`, `\P{`, `\p{^`}) + name + "}"
	default:
		return "[:" + pick(g, posix) + ":]"
	}
}

func (g generator) class() string {
	text := pick(g, []string{"[", "[", "[^"})
	if g.IntN(10) == 0 {
		text += "]"
	}
	for range 1 + g.IntN(3) {
		switch g.IntN(6) {
		case 0, 1:
			text += g.named()
		case 2:
			text += g.rune() + "-" + g.rune()
		case 3:
			text += pick(g, []string{"[", "&&", "--", "-", "~~", "^", "a-z", "K-s", "À-ſ", `\Q`, "[[.a.]]"})
		default:
			text += g.rune()
		}
	}
	return text + "]"
}

func (g generator) repeat() string {
	text := pick(g, []string{"*", "+", "?", "{2}", "{0}", "{,2}", "{1,}", "{0,3}", "{2,1}", "{", "{a}",
		"{ 1}", "{01}", "{1000}", "{1001}", "{30}", "{40,}", "{1,2"})
	return text + pick(g, []string{"", "", "", "?", "?", "+"})
}

func (g generator) node(depth int) string {
	if depth == 0 {
		switch g.IntN(12) {
		case 0, 1:
			return g.class()
		case 2:
			if name := g.named(); name[0] == '\\' {
				return name
			}
			return "."
		case 3:
			return pick(g, []string{"^", "$", `\b`, `\B`, `\A`, `\z`, ".", "."})
		case 4:
			return `\Q` + pick(g, []string{"", "a", "k*", "(é", `\`, "]"}) + pick(g, []string{`\E`, `\E`, ""})
		default:
			return g.rune()
		}
	}
	switch g.IntN(9) {
	case 0, 1, 2:
		text := ""
		for range g.IntN(4) {
			text += g.node(depth - 1)
		}
		return text
	case 3:
		return g.node(depth-1) + "|" + g.node(depth-1)
	case 4, 5:
		return g.node(depth-1) + g.repeat()
	case 6:
		return pick(g, []string{"(?" + g.flags() + ":", "(?" + g.flags() + ":", "(?:", "(", "(?P<n>",
			"(?<n>"}) + g.node(depth-1) + ")"
	case 7:
		return "(?" + g.flags() + ")" + g.node(depth-1)
	default:
		return "(" + g.node(depth-1) + ")"
	}
}

func (g generator) soup() string {
	var text strings.Builder
	for range 1 + g.IntN(9) {
		text.WriteString(pick(g, pieces))
	}
	return text.String()
}

func (g generator) mutated(pattern string) string {
	runes := []rune(pattern)
	for range 1 + g.IntN(2) {
		at := g.IntN(len(runes) + 1)
		extra := []rune(pick(g, pieces))
		if g.IntN(2) == 0 {
			extra = []rune{pick(g, letters)}
		}
		end := min(len(runes), at+g.IntN(2))
		if g.IntN(4) == 0 {
			extra = nil
		}
		runes = append(append(append([]rune{}, runes[:at]...), extra...), runes[end:]...)
	}
	return string(runes)
}

// One text that the expression may well match.
func (g generator) witness(re *syntax.Regexp, out *strings.Builder) {
	switch re.Op {
	case syntax.OpLiteral:
		out.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			at := g.IntN(len(re.Rune)/2) * 2
			lo, hi := re.Rune[at], re.Rune[at+1]
			out.WriteRune(pick(g, []rune{lo, hi, lo + rune(g.IntN(int(hi-lo)+1))}))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		out.WriteRune(pick(g, letters))
	case syntax.OpAlternate:
		g.witness(pick(g, re.Sub), out)
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		count := g.IntN(3)
		if re.Op == syntax.OpRepeat {
			count = re.Min + g.IntN(2)
		}
		for range count {
			if out.Len() < 2000 {
				g.witness(re.Sub[0], out)
			}
		}
	default:
		for _, sub := range re.Sub {
			g.witness(sub, out)
		}
	}
}

func (g generator) text(re *syntax.Regexp) string {
	var text strings.Builder
	if g.IntN(3) == 0 {
		for range g.IntN(3) {
			text.WriteRune(pick(g, letters))
		}
	}
	if g.IntN(4) != 0 {
		g.witness(re, &text)
	}
	for range g.IntN(4) {
		text.WriteRune(pick(g, letters))
	}
	if g.IntN(4) == 0 {
		return g.mutatedText(text.String())
	}
	return text.String()
}

func (g generator) mutatedText(text string) string {
	runes := []rune(text)
	if len(runes) == 0 {
		return ""
	}
	runes[g.IntN(len(runes))] = pick(g, letters)
	return string(runes)
}

func (g generator) row(pattern string, texts int) Row {
	row := Row{Pattern: pattern}
	re, err := regexp.Compile(pattern)
	if err != nil {
		row.Refused = "invalid"
		return row
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic(err)
	}
	seen := map[string]bool{}
	for c := rune(0); texts == 0 && c < 0x180+rune(len(letters)); c++ {
		text := string(c)
		if c >= 0x180 {
			text = string(letters[c-0x180])
		}
		if re.MatchString(text) {
			row.Match = append(row.Match, text)
		} else {
			row.No = append(row.No, text)
		}
	}
	for range texts {
		// Half a pair in a text becomes U+FFFD, as it does in JSON.
		text := strings.ToValidUTF8(g.text(tree), "\ufffd")
		if seen[text] {
			continue
		}
		seen[text] = true
		if re.MatchString(text) {
			row.Match = append(row.Match, text)
		} else {
			row.No = append(row.No, text)
		}
	}
	return row
}

func lines(path string) []string {
	if path == "" {
		return nil
	}
	file, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return strings.Split(strings.TrimSuffix(string(file), "\n"), "\n")
}

func main() {
	count := flag.Int("n", 1000, "patterns")
	texts := flag.Int("texts", 8, "texts for each")
	seed := flag.Uint64("seed", 1, "of the random numbers")
	seeds := flag.String("seeds", "", "file of patterns to change, one a line")
	each := flag.String("each", "", "file of patterns to take as they are, one a line")
	flag.Parse()
	g := generator{rand.New(rand.NewPCG(*seed, 0))}
	real, exact := lines(*seeds), lines(*each)
	if exact != nil {
		*count = len(exact)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for n := range *count {
		var pattern string
		switch {
		case exact != nil:
			pattern = exact[n]
		case real != nil && n%3 == 0:
			pattern = g.mutated(pick(g, real))
		case n%6 == 1:
			pattern = g.soup()
		default:
			pattern = g.node(1 + g.IntN(5))
		}
		// Go takes patterns that are not UTF-8 for an error of their own; ours cannot be.
		pattern = strings.ToValidUTF8(pattern, "\ufffd")
		if err := encoder.Encode(g.row(pattern, *texts)); err != nil {
			panic(err)
		}
	}
}

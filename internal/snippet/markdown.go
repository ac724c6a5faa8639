package snippet

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

var (
	// fence is the line that opens a block of code: indentation, at least three
	// backticks or tildes, and the language.
	fence = regexp.MustCompile("^([ \t]*)(```+|~~~+)[ \t]*([^ \t`]*)[^`]*$")
	// comment is the line before a block of Go code.
	comment = regexp.MustCompile(`^[ \t]*<!--[ \t]*snippet:[ \t]*(.*?)[ \t]*-->[ \t]*$`)
)

// Fill returns a Markdown text with the code that its comments name, read from
// the repository fsys. Where nothing is stale it is the text that was given. It
// returns all errors at once, each with its line's number.
func Fill(fsys fs.FS, markdown string) (string, error) {
	f := filler{fsys: fsys, lines: strings.Split(markdown, "\n")}
	for f.next < len(f.lines) {
		f.step()
	}
	if f.reference != "" {
		f.fail(f.referenceLine, errors.New("no block of Go code follows the comment"))
	}
	return strings.Join(f.out, "\n"), errors.Join(f.errs...)
}

// filler walks over the lines of a text. Lines before next are in out.
type filler struct {
	fsys  fs.FS
	lines []string
	next  int
	out   []string
	errs  []error

	// reference is what the last comment says, until its block comes.
	reference     string
	referenceLine int
}

func (f *filler) fail(line int, err error) {
	f.errs = append(f.errs, fmt.Errorf("line %d: %w", line+1, err))
}

// step handles one line, or one block of code with its fences.
func (f *filler) step() {
	line := f.lines[f.next]
	if m := fence.FindStringSubmatch(line); m != nil {
		f.block(m[1], m[2], strings.ToLower(m[3]))
		return
	}
	m := comment.FindStringSubmatch(line)
	if f.reference != "" && (m != nil || strings.TrimSpace(line) != "") {
		f.fail(f.referenceLine, errors.New("no block of Go code follows the comment"))
		f.reference = ""
	}
	if m != nil {
		f.reference, f.referenceLine = m[1], f.next
		if m[1] == "" {
			f.fail(f.next, errors.New("the comment names nothing: write path/to/file.go#name"))
		}
	}
	f.out = append(f.out, line)
	f.next++
}

// block handles a block of code that starts at the next line.
func (f *filler) block(indent, marker, language string) {
	begin := f.next
	end := begin + 1
	for end < len(f.lines) && !closes(f.lines[end], marker) {
		end++
	}
	reference := f.reference
	f.reference = ""
	f.next = min(end+1, len(f.lines))
	whole := f.lines[begin:f.next]

	isGo := language == "go" || language == "golang"
	code := ""
	switch {
	case end == len(f.lines):
		f.fail(begin, errors.New("the block of code does not end"))
	case !isGo && reference != "":
		f.fail(f.referenceLine, errors.New("no block of Go code follows the comment"))
	case isGo:
		var err error
		if code, err = codeOf(f.fsys, reference, marker); err != nil {
			f.fail(begin, err)
		}
	}
	if code == "" {
		f.out = append(f.out, whole...)
		return
	}
	f.out = append(f.out, whole[0])
	for line := range strings.SplitSeq(code, "\n") {
		if line != "" {
			line = indent + line
		}
		f.out = append(f.out, line)
	}
	f.out = append(f.out, whole[len(whole)-1])
}

// closes reports whether a line ends the block that marker began.
func closes(line, marker string) bool {
	line = strings.TrimSpace(line)
	return len(line) >= len(marker) && strings.Trim(line, marker[:1]) == ""
}

// codeOf returns what a block of Go code between fences has to be, or "" where
// the comment says that it comes from nowhere.
func codeOf(fsys fs.FS, reference, marker string) (string, error) {
	if reference == "" {
		return "", errors.New("the block of Go code names no source: write <!-- snippet: path/to/file.go#name --> before it")
	}
	if none, reason, _ := strings.Cut(reference, ","); none == "none" {
		if strings.TrimSpace(reason) == "" {
			return "", errors.New("the block of Go code is not compiled: say why, <!-- snippet: none, reason -->")
		}
		return "", nil
	}
	code, err := region(fsys, reference)
	if err != nil {
		return "", err
	}
	for line := range strings.SplitSeq(code, "\n") {
		if closes(line, marker) {
			return "", fmt.Errorf("%s: has a line that ends the block: write a longer fence", reference)
		}
	}
	return code, nil
}

package snippet

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

const (
	beginMark = "// snippet:"
	endMark   = "// end:"
)

// region returns the code that a reference names: "path/to/file.go#name", or
// "path/to/file.go" for a whole file. It ends without a newline.
func region(fsys fs.FS, reference string) (string, error) {
	file, name, named := strings.Cut(reference, "#")
	if named && name == "" {
		return "", fmt.Errorf("%s: has an empty name after #", reference)
	}
	if err := checkPath(file); err != nil {
		return "", err
	}
	source, err := fs.ReadFile(fsys, file)
	if err != nil {
		return "", fmt.Errorf("%s: cannot be read, the path is relative to the repository: %w", file, errors.Unwrap(err))
	}
	lines := strings.Split(string(source), "\n")
	if named {
		if lines, err = between(lines, name); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
	}
	code := strings.Join(dedent(withoutMarks(lines)), "\n")
	if code = strings.Trim(code, "\n"); code == "" {
		return "", fmt.Errorf("%s: holds no code", reference)
	}
	return code, nil
}

// checkPath refuses files that the compiler never sees.
func checkPath(file string) error {
	if !fs.ValidPath(file) || path.Ext(file) != ".go" {
		return fmt.Errorf("%s: is not a Go file's path from the root of the repository", file)
	}
	for element := range strings.SplitSeq(file, "/") {
		if element == "testdata" || strings.HasPrefix(element, "_") || strings.HasPrefix(element, ".") {
			return fmt.Errorf("%s: is not compiled, as the go command ignores %s", file, element)
		}
	}
	return nil
}

// between returns the lines between the marks of a region.
func between(lines []string, name string) ([]string, error) {
	begin, end := -1, -1
	for i, line := range lines {
		switch strings.TrimSpace(line) {
		case beginMark + name:
			if begin >= 0 {
				return nil, fmt.Errorf("line %d: %s%s is there twice", i+1, beginMark, name)
			}
			begin = i
		case endMark + name:
			if begin < 0 || end >= 0 {
				return nil, fmt.Errorf("line %d: %s%s ends nothing", i+1, endMark, name)
			}
			end = i
		}
	}
	switch {
	case begin < 0:
		return nil, fmt.Errorf("has no line %q", beginMark+name)
	case end < 0:
		return nil, fmt.Errorf("has no line %q", endMark+name)
	}
	return lines[begin+1 : end], nil
}

func withoutMarks(lines []string) []string {
	var kept []string
	for _, line := range lines {
		trimmed := strings.TrimSpace(line)
		if !strings.HasPrefix(trimmed, beginMark) && !strings.HasPrefix(trimmed, endMark) {
			kept = append(kept, line)
		}
	}
	return kept
}

// dedent cuts the tabs that all lines start with. Empty lines do not count.
func dedent(lines []string) []string {
	common := -1
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		indent := len(line) - len(strings.TrimLeft(line, "\t"))
		if common < 0 || indent < common {
			common = indent
		}
	}
	cut := make([]string, len(lines))
	for i, line := range lines {
		if strings.TrimSpace(line) != "" {
			cut[i] = line[common:]
		}
	}
	return cut
}

// Package urlpath checks paths of URLs that hold what others made up.
package urlpath

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Check reports why an escaped relative path could be understood, by anybody on
// the way, as something that is not below its base. Its errors hold nothing of
// the path.
func Check(path string) error {
	switch {
	case path == "":
		return errors.New("must not be empty")
	case path[0] == '/':
		return errors.New("must be relative to the base URL, without a slash at the beginning")
	}
	for i := range len(path) {
		if !isPathByte(path[i]) {
			return fmt.Errorf("byte %d must be escaped", i)
		}
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s == "" && i < len(segments)-1 {
			return errors.New("has an empty segment")
		}
		if err := checkSegment(s); err != nil {
			return err
		}
	}
	return nil
}

// isPathByte is for escaped paths: RFC 3986, section 3.3, without ";", which
// some servers cut off together with what follows.
func isPathByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	default:
		return strings.IndexByte("-._~!$&'()*+,=:@%/", c) >= 0
	}
}

// checkSegment refuses what a server might take for a step up. Servers differ
// in when, and how often, they unescape, so every level is looked at.
func checkSegment(s string) error {
	if !strings.ContainsAny(s, "%.") {
		return nil // the usual case, cheap
	}
	for level := 0; ; level++ {
		next, err := url.PathUnescape(s)
		if err != nil && level > 0 { // some servers leave what is none as it is
			next, err = escapes.ReplaceAllStringFunc(s, unescape), nil
		}
		switch {
		case err != nil:
			return errors.New("has a % that is not followed by two hexadecimal digits")
		case level == 0 && !utf8.ValidString(next):
			return errors.New("is not UTF-8 when unescaped")
		case strings.ContainsFunc(next, isControl):
			return errors.New("holds an escaped control character")
		}
		for part := range strings.FieldsFuncSeq(next, isSeparator) {
			if part == "." || part == ".." {
				return errors.New(`must not hold "." or ".." as a segment`)
			}
		}
		if next == s {
			return nil
		}
		s = next
	}
}

var escapes = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

func unescape(escape string) string {
	b, _ := hex.DecodeString(escape[1:]) // it is two hexadecimal digits
	return string(b)
}

func isSeparator(r rune) bool { return r == '/' || r == '\\' || r == ';' }

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

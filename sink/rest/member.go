package rest

import (
	"encoding/json"
	"strings"

	"github.com/konnektor-go/konnektor/internal/jsondoc"
)

// member returns the member at a path. A member whose own name is the path comes
// first: names may hold dots.
func member(doc jsondoc.Doc, path string) (any, bool) {
	if v, ok := doc[path]; ok {
		return v, true
	}
	name, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		return nil, false
	}
	inner, ok := doc[name].(jsondoc.Doc)
	if !ok {
		return nil, false
	}
	return member(inner, rest)
}

// setMember sets the member at a path.
func setMember(doc jsondoc.Doc, path string, value any) {
	if name, rest, deeper := strings.Cut(path, "."); deeper {
		inner, ok := doc[name].(jsondoc.Doc)
		if !ok {
			inner = jsondoc.Doc{}
			doc[name] = inner
		}
		setMember(inner, rest, value)
		return
	}
	doc[path] = value
}

// deleteMember deletes the member at a path.
func deleteMember(doc jsondoc.Doc, path string) {
	name, rest, deeper := strings.Cut(path, ".")
	if inner, ok := doc[name].(jsondoc.Doc); deeper && ok {
		deleteMember(inner, rest)
		return
	}
	delete(doc, path)
}

// text returns a string or number as it is written, else "".
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

package notification

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
)

// Extension attributes of a CloudEvent that hold what a notification says and
// CloudEvents has no attribute for. Lists are JSON arrays of texts, so that an
// attribute of another producer that happens to have the same name is not taken
// for one and nothing is discarded because of it.
const (
	extNotBefore = "notbefore"
	extChanged   = "changedattributes"
	extAudience  = "audience"
	extOperation = "operation"
)

// addExtensions writes them.
func (n *Notification) addExtensions(extensions map[string]any) error {
	add := func(name, value string) error {
		if _, there := extensions[name]; there {
			return errors.New("extension " + name + ": stands beside the notification's own field: leave one of the two out")
		}
		extensions[name] = value
		return nil
	}
	if !n.NotBefore.IsZero() {
		if err := add(extNotBefore, n.NotBefore.UTC().Format(time.RFC3339Nano)); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		name  string
		texts []string
	}{{extChanged, n.Changed}, {extAudience, n.Audience}} {
		if len(list.texts) == 0 {
			continue
		}
		text, _ := json.Marshal(list.texts) // texts always can be
		if err := add(list.name, string(text)); err != nil {
			return err
		}
	}
	if n.Operation != "" && n.Operation != operationOf(n.Event.Type()) {
		return add(extOperation, n.Operation)
	}
	return nil
}

// takeExtensions reads them, and leaves what is out of form in the event.
func (n *Notification) takeExtensions(context *event.EventContextV1, zone *time.Location, depth int) {
	if len(context.Extensions) == 0 {
		return
	}
	take := func(name string, read func(text string) bool) {
		if text, ok := context.Extensions[name].(string); ok && read(text) {
			delete(context.Extensions, name)
		}
	}
	take(extNotBefore, func(text string) (ok bool) {
		at, err := date(extNotBefore, text, zone)
		n.NotBefore = at
		return err == nil
	})
	take(extChanged, func(text string) bool { n.Changed = listOf(text, depth); return n.Changed != nil })
	take(extAudience, func(text string) bool { n.Audience = listOf(text, depth); return n.Audience != nil })
	take(extOperation, func(text string) bool { n.Operation = text; return true })
}

// listOf reads a JSON array of texts. Anything else gives nil.
func listOf(text string, depth int) []string {
	if _, err := readArray([]byte(text), depth); err != nil {
		return nil
	}
	return textsOf([]byte(strings.TrimSpace(text)), depth)
}

var errNotThin = errors.New("data: is more than ids of entities and, in \"attributes\", names of attributes: " +
	"leave it out, receivers fetch the rest, or set AllowData")

// checkThin reports data of an event that does more than name entities and
// attributes.
func checkThin(data []byte, contentType string, depth int) error {
	switch {
	case len(data) == 0:
		return nil
	case !isJSON(contentType) || !utf8.Valid(data):
		return errNotThin
	}
	o, err := readObject(data, depth, nil)
	if err != nil {
		return errNotThin
	}
	for _, m := range o {
		if !isThin(string(m.name), m.value, depth) {
			return errNotThin
		}
	}
	return nil
}

func isThin(name string, value []byte, depth int) bool {
	if _, ok := cutEnding(name); ok || name == "id" {
		id, err := idOf(name, value)
		return err == nil && id != ""
	}
	if name == "attributes" {
		texts := textsOf(value, depth)
		for _, text := range texts {
			if strings.ContainsFunc(text, isNoName) {
				return false
			}
		}
		return texts != nil
	}
	return value[0] == '{' && checkThin(value, "", depth-1) == nil
}

// isNoName reports a letter that stands in no name of an attribute, by SCIM (RFC
// 7643, section 2.1; RFC 7644, section 3.10) nor in similar sources.
func isNoName(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._:$-/", r)
}

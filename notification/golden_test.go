package notification_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/entity"
	"github.com/konnektor-go/konnektor/notification"
)

var update = flag.Bool("update", false, "write what is decoded into testdata/*.golden.json")

// dialects are the files of testdata with messages. Each message begins with
// "=== its name". Lines of metadata, "name: value", and an empty line may stand
// before the payload; the line "quoted" among them says that the payload is a
// Go string.
var dialects = []string{"structured", "binary", "batch", "data", "claims", "dfo", "reference"}

type sample struct {
	name     string
	metadata message.Metadata
	payload  []byte
}

func (s sample) message() *message.Message {
	msg := message.NewMessage("uuid", s.payload)
	msg.Metadata = s.metadata
	return msg
}

var headerLine = regexp.MustCompile(`^([\w.:-]+): (.*)$`)

func samples(tb testing.TB, dialect string) []sample {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", dialect+".txt"))
	require.NoError(tb, err)
	var all []sample
	for section := range strings.SplitSeq(strings.TrimPrefix(string(text), "=== "), "\n=== ") {
		name, rest, _ := strings.Cut(section, "\n")
		s := sample{name: name, metadata: message.Metadata{}}
		quoted := false
		for s.payload == nil {
			line, after, _ := strings.Cut(rest, "\n")
			header := headerLine.FindStringSubmatch(line)
			switch {
			case line == "quoted":
				quoted = true
			case header != nil:
				s.metadata[header[1]] = header[2]
			case line == "":
				s.payload = []byte(after)
			default:
				s.payload = []byte(rest)
			}
			rest = after
		}
		s.payload = bytes.TrimSuffix(s.payload, []byte("\n"))
		if quoted {
			unquoted, err := strconv.Unquote(string(s.payload))
			require.NoError(tb, err, name)
			s.payload = []byte(unquoted)
		}
		all = append(all, s)
	}
	return all
}

// decoded is what a golden file has of a message.
type decoded struct {
	Message       string  `json:"message"`
	Notifications []noted `json:"notifications,omitempty"`
	Refused       string  `json:"refused,omitempty"`
}

type noted struct {
	Event      json.RawMessage `json:"event"`
	Key        entity.Key      `json:"key"`
	NotBefore  *time.Time      `json:"not_before,omitempty"`
	Changed    []string        `json:"changed,omitempty"`
	Audience   []string        `json:"audience,omitempty"`
	Operation  string          `json:"operation,omitempty"`
	RoutingKey string          `json:"routing_key,omitempty"`
}

func TestGolden(t *testing.T) {
	total := 0
	for _, dialect := range dialects {
		t.Run(dialect, func(t *testing.T) {
			var all []decoded
			for _, s := range samples(t, dialect) {
				t.Run(s.name, func(t *testing.T) { all = append(all, decodeSample(t, s)) })
				total++
			}
			var got bytes.Buffer
			enc := json.NewEncoder(&got)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			require.NoError(t, enc.Encode(all))
			file := filepath.Join("testdata", dialect+".golden.json")
			if *update {
				require.NoError(t, os.WriteFile(file, got.Bytes(), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), got.String())
		})
	}
	require.GreaterOrEqual(t, total, 60)
}

func decodeSample(t *testing.T, s sample) decoded {
	t.Helper()
	before := bytes.Clone(s.payload)
	ns, err := notification.Default().Decode(s.message())
	again, errAgain := notification.Default().Decode(s.message())
	require.Equal(t, err, errAgain)
	require.Equal(t, ns, again, "the same delivery gives the same, derived ids too")
	require.Equal(t, before, s.payload)

	out := decoded{Message: s.name}
	if strings.HasPrefix(s.name, "refused: ") {
		require.Error(t, err)
		require.Regexp(t, `^(\[\d+\]|(\[\d+\]\.)?\w+): `, err.Error(), "a reason starts with the field")
		checkSilent(t, s, err.Error())
		out.Refused = err.Error()
		return out
	}
	require.NoError(t, err)
	ids := map[string]bool{}
	for _, n := range ns {
		checkSound(t, n)
		ids[n.Event.Source()+" "+n.Event.ID()] = true
		// The bytes belong to the caller again.
		for i := range s.payload {
			s.payload[i] = 'x'
		}
		e, err := json.Marshal(n.Event)
		require.NoError(t, err)
		one := noted{Event: e, Key: n.Key, Changed: n.Changed, Audience: n.Audience, Operation: n.Operation, RoutingKey: n.RoutingKey}
		if !n.NotBefore.IsZero() {
			one.NotBefore = &n.NotBefore
		}
		out.Notifications = append(out.Notifications, one)
	}
	require.Len(t, ids, len(ns), "each event of a message has its own id")
	return out
}

// checkSound checks what holds for every notification.
func checkSound(t *testing.T, n notification.Notification) {
	t.Helper()
	require.NoError(t, n.Event.Validate())
	require.NoError(t, n.Key.Validate())
	key, err := notification.KeyOf(n.Event.Subject())
	require.NoError(t, err)
	require.Equal(t, n.Key, key, "the key is that of the subject")
	if len(n.Key.ID) > 4 && !strings.Contains(n.Event.Type(), n.Key.ID) {
		require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", n, n, n, n.LogValue()), n.Key.ID)
	}
}

var (
	values = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"\s*[,}\]]|(-?\d[\d.eE+-]*)`)
	words  = regexp.MustCompile(`[\pL\pN@._-]{4,}`)
)

// checkSilent checks that a reason holds no value of the message.
func checkSilent(t *testing.T, s sample, reason string) {
	t.Helper()
	var secrets []string
	for _, m := range values.FindAllStringSubmatch(string(s.payload), -1) {
		secrets = append(secrets, words.FindAllString(m[1]+" "+m[2], -1)...)
	}
	if !bytes.ContainsAny(s.payload, "{[") {
		secrets = append(secrets, words.FindAllString(string(s.payload), -1)...)
	}
	for name, value := range s.metadata {
		if name != "amqp.content_type" {
			secrets = append(secrets, words.FindAllString(value, -1)...)
		}
	}
	for _, secret := range secrets {
		require.NotContains(t, reason, secret)
	}
}

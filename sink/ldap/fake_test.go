package ldap_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/sink/ldap"
)

// fake is a directory server in memory, which answers as a test says.
type fake struct {
	tb     testing.TB
	listen net.Listener
	wait   sync.WaitGroup

	mu       sync.Mutex
	answer   func(request) []answer
	requests []string
	conns    map[net.Conn]bool
	deaf     net.Conn // on which nothing is read any more
	stopped  context.Context
	end      context.CancelFunc
	dialled  int
}

// request is what the fake was asked.
type request struct {
	op       string
	dn       string
	filter   string
	names    []string
	password string
	cookie   string
	conn     net.Conn
}

// answer is one message of the fake. An entry has a DN and attributes; anything
// else is a result.
type answer struct {
	dn         string
	attributes map[string][]string
	code       int
	text       string
	cookie     string // of a paged search
}

var ok = answer{}

func newFake(tb testing.TB, respond func(request) []answer) *fake {
	tb.Helper()
	f := &fake{tb: tb, answer: respond, conns: map[net.Conn]bool{}}
	f.stopped, f.end = context.WithCancel(context.Background())
	f.start("127.0.0.1:0")
	tb.Cleanup(f.stop)
	return f
}

func (f *fake) start(address string) {
	var err error
	f.listen, err = net.Listen("tcp", address)
	require.NoError(f.tb, err)
	f.wait.Go(func() {
		for {
			conn, err := f.listen.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[conn] = true
			f.dialled++
			f.mu.Unlock()
			f.wait.Go(func() { f.serve(conn) })
		}
	})
}

// cut closes all connections, as a firewall or a restart does.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		_ = conn.Close()
	}
}

func (f *fake) stop() {
	f.end()
	_ = f.listen.Close()
	f.cut()
	f.wait.Wait()
}

func (f *fake) url() string { return "ldap://" + f.listen.Addr().String() }

func (f *fake) serve(conn net.Conn) {
	defer conn.Close()
	for {
		packet, err := ber.ReadPacket(conn)
		if err != nil || len(packet.Children) < 2 {
			return
		}
		r := read(packet)
		r.conn = conn
		f.mu.Lock()
		f.requests = append(f.requests, strings.Join(strings.Fields(r.op+" "+r.dn+" "+r.filter+" "+strings.Join(r.names, " ")), " "))
		respond := f.answer
		f.mu.Unlock()
		if r.op == "unbind" {
			return
		}
		for _, a := range respond(r) {
			if _, err := conn.Write(message(packet, a)); err != nil {
				return
			}
		}
		f.mu.Lock()
		deaf := f.deaf == conn
		f.mu.Unlock()
		if deaf {
			<-f.stopped.Done()
		}
	}
}

func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

func (f *fake) respond(with func(request) []answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = with
}

var ops = map[ber.Tag]string{
	goldap.ApplicationBindRequest: "bind", goldap.ApplicationUnbindRequest: "unbind", goldap.ApplicationSearchRequest: "search",
	goldap.ApplicationModifyRequest: "modify", goldap.ApplicationAddRequest: "add", goldap.ApplicationDelRequest: "delete",
	goldap.ApplicationModifyDNRequest: "rename", goldap.ApplicationExtendedRequest: "extended",
}

func read(packet *ber.Packet) request {
	body := packet.Children[1]
	r := request{op: ops[body.Tag]}
	switch r.op {
	case "bind":
		r.dn, r.password = text(body.Children[1]), body.Children[2].Data.String()
	case "search":
		r.dn = text(body.Children[0])
		r.filter, _ = goldap.DecompileFilter(body.Children[6])
		for _, name := range body.Children[7].Children {
			r.names = append(r.names, text(name))
		}
		if len(packet.Children) > 2 {
			for _, c := range packet.Children[2].Children {
				if control, err := goldap.DecodeControl(c); err == nil {
					if paging, is := control.(*goldap.ControlPaging); is {
						r.cookie = "first" + string(paging.Cookie)
					}
				}
			}
		}
	case "delete":
		r.dn = body.Data.String()
	case "modify":
		r.dn = text(body.Children[0])
		for _, change := range body.Children[1].Children {
			r.names = append(r.names, [...]string{"add", "delete", "replace"}[change.Children[0].Value.(int64)])
			for _, v := range change.Children[1].Children[1].Children {
				r.names = append(r.names, text(v))
			}
		}
	case "add", "rename":
		r.dn = text(body.Children[0])
	}
	return r
}

func text(p *ber.Packet) string { s, _ := p.Value.(string); return s }

// message encodes an answer to a request.
func message(request *ber.Packet, a answer) []byte {
	envelope := ber.NewSequence("")
	envelope.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, request.Children[0].Value, ""))
	str := func(s string) *ber.Packet {
		return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
	}
	if a.attributes != nil {
		entry := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultEntry, nil, "")
		entry.AppendChild(str(a.dn))
		list := ber.NewSequence("")
		for name, values := range a.attributes {
			attribute := ber.NewSequence("")
			attribute.AppendChild(str(name))
			set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
			for _, v := range values {
				set.AppendChild(str(v))
			}
			attribute.AppendChild(set)
			list.AppendChild(attribute)
		}
		entry.AppendChild(list)
		envelope.AppendChild(entry)
		return envelope.Bytes()
	}
	tag := request.Children[1].Tag + 1
	if request.Children[1].Tag == goldap.ApplicationSearchRequest {
		tag = goldap.ApplicationSearchResultDone
	}
	if request.Children[1].Tag == goldap.ApplicationDelRequest {
		tag = goldap.ApplicationDelResponse
	}
	result := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	result.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, a.code, ""))
	result.AppendChild(str(""))
	result.AppendChild(str(a.text))
	envelope.AppendChild(result)
	if a.cookie != "" {
		paging := goldap.NewControlPaging(0)
		if a.cookie != "last" {
			paging.SetCookie([]byte(a.cookie))
		}
		controls := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		controls.AppendChild(paging.Encode())
		envelope.AppendChild(controls)
	}
	return envelope.Bytes()
}

// plain answers what every client asks first, and leaves the rest to a test.
func plain(rest func(request) []answer) func(request) []answer {
	return func(r request) []answer {
		switch {
		case r.op == "bind":
			return []answer{ok}
		case r.op == "search" && r.dn == "":
			return []answer{{attributes: map[string][]string{"supportedControl": {"1.2.840.113556.1.4.319"}, "subschemaSubentry": {"cn=schema"}}}, ok}
		case r.op == "search" && r.dn == "cn=schema":
			return []answer{{dn: "cn=schema", attributes: map[string][]string{
				"attributeTypes": {
					`( 2.5.4.31 NAME 'member' SYNTAX '1.3.6.1.4.1.1466.115.121.1.12' )`,
					`( 1.2.840.113556.1.4.8 NAME 'userAccountControl' SYNTAX '1.3.6.1.4.1.1466.115.121.1.27' SINGLE-VALUE )`,
					`( 1.2.840.113556.1.4.2 NAME 'objectGUID' SYNTAX '1.3.6.1.4.1.1466.115.121.1.40' SINGLE-VALUE NO-USER-MODIFICATION )`,
				},
				"objectClasses": {`( 2.5.6.6 NAME 'person' )`},
			}}, ok}
		default:
			return rest(r)
		}
	}
}

const people = "ou=people,dc=example,dc=org"

func client(tb testing.TB, cfg ldap.ClientConfig, urls ...string) *ldap.Client {
	tb.Helper()
	cfg.Plaintext = cfg.TLS == nil
	if cfg.User == "" {
		cfg.User, cfg.Password = "cn=connector", func(context.Context) (string, error) { return "s3cret", nil }
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	c, err := ldap.NewClient(urls, cfg)
	require.NoError(tb, err)
	tb.Cleanup(c.Close)
	return c
}

func entries(tb testing.TB, c *ldap.Client, cfg ldap.Config) *ldap.Entries {
	tb.Helper()
	e, err := ldap.New(c, people, cfg)
	require.NoError(tb, err)
	return e
}

var timeNone time.Time

// attributes makes the attributes of an Entry from lines of LDIF. A name without
// a value is one that is to have none.
func attributes(lines ...string) map[string][]string {
	a := map[string][]string{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ": ")
		if ok {
			a[name] = append(a[name], value)
		} else {
			a[name] = nil
		}
	}
	return a
}

func entry(lines ...string) ldap.Entry { return ldap.Entry{Attributes: attributes(lines...)} }

package testkit

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// answer is what the gateway sends, whatever the transport.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	half    bool // send only half of body
	drop    bool // lose the connection, after half of body if half is set too
	version int64
	cached  bool
	chunked bool
}

// emptyError is an error of the gateway without a body.
func (g *Gateway) emptyError(status int) answer {
	a := answer{status: status, header: http.Header{}}
	if g.version.closes(status) {
		a.header.Set("Connection", "close")
	}
	return a
}

// plainError is an error of the gateway in plain text.
func (g *Gateway) plainError(status int, text string) answer {
	a := g.emptyError(status)
	a.header.Set("Content-Type", "text/plain")
	a.body = []byte(text)
	return a
}

// gatewayError is an error that an API of the gateway makes: in JSON, if the
// client accepts that, or what the API's owner wants instead.
func (g *Gateway) gatewayError(x *exchange, status int, text string) answer {
	a := g.plainError(status, text)
	accept := strings.Join(x.Header.Values("Accept"), ",")
	if strings.Contains(accept, "application/json") || strings.Contains(accept, "*/*") {
		a.header.Set("Content-Type", "application/json")
		a.body, _ = json.Marshal(struct { // strings and numbers always encode
			Message string `json:"message"`
			Status  int    `json:"http_status_code"`
		}{text, status})
	}
	if f, ok := g.cfg.Errors[status]; ok {
		a = f.spoil(a, g.version)
	}
	return a
}

// ServeHTTP answers through a socket. To lose the connection it panics with
// [http.ErrAbortHandler], which servers know.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := g.serve(r.Context(), r)
	if err != nil || a.drop && !a.half {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	if a.chunked {
		_ = http.NewResponseController(w).Flush() // so that no Content-Length is set
	}
	body := a.sent()
	_, _ = w.Write(body) // a client that is gone notices itself
	if a.half {
		_ = http.NewResponseController(w).Flush() // so that no Content-Length is set
	}
	if a.drop {
		panic(http.ErrAbortHandler)
	}
}

// RoundTrip answers in memory. It starts no goroutine.
func (g *Gateway) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }() // a RoundTripper's duty; it is not read
	}
	a, err := g.serve(r.Context(), r)
	if err != nil {
		return nil, err
	}
	if a.drop && !a.half {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	}
	body := a.sent()
	res := &http.Response{
		Status:        strconv.Itoa(a.status) + " " + http.StatusText(a.status),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.header,
		ContentLength: int64(len(body)),
		Close:         a.header.Get("Connection") == "close",
		Request:       r,
		Body:          io.NopCloser(bytes.NewReader(body)),
	}
	switch {
	case r.Method == http.MethodHead:
		res.Body = http.NoBody
	case a.half, a.chunked:
		res.ContentLength = -1
		res.TransferEncoding = []string{"chunked"}
		if a.drop {
			res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), brokenReader{}))
		}
	}
	return res, nil
}

// sent is the part of the body that is sent.
func (a answer) sent() []byte {
	if a.half {
		return a.body[:len(a.body)/2]
	}
	return a.body
}

// brokenReader ends a body whose connection was lost.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

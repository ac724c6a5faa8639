package gateway

import (
	"bytes"
	"io"
	"math"
)

// maxErrorBody is how much of an answer is read that is not a state.
const maxErrorBody = 64 << 10

func (c *Client) bodyLimit(status int) int64 {
	if isState(status) {
		return c.cfg.MaxBody
	}
	return maxErrorBody
}

// readBody reads up to limit bytes, and reports whether that was all. The length
// is the announced one, or -1.
func readBody(r io.Reader, length, limit int64) (body []byte, whole bool, err error) {
	var buf bytes.Buffer
	if n := min(length, limit); n > 0 {
		buf.Grow(int(n) + bytes.MinRead) // ReadFrom wants that much room at the end
	}
	if _, err := buf.ReadFrom(io.LimitReader(r, limit+min(1, math.MaxInt64-limit))); err != nil {
		return nil, false, err
	}
	if int64(buf.Len()) > limit {
		return buf.Bytes()[:limit], false, nil
	}
	return buf.Bytes(), true, nil
}

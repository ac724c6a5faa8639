//go:build integration

package connector_test

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"
)

// cpuTime returns how much time processors have spent on this process and those
// that it has started, such as the servers: unlike what a clock says, that does
// not depend much on what else the machine does. It is zero where there is no
// /proc.
func cpuTime() time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ, see proc(5)
	parents, ticks := make(map[string]string), make(map[string]int)
	processes, _ := os.ReadDir("/proc")
	for _, p := range processes {
		text, err := os.ReadFile("/proc/" + p.Name() + "/stat")
		if err != nil {
			continue // not a process, or gone
		}
		// The name, in brackets, may hold anything; the state comes after it.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		parents[p.Name()] = fields[1]
		for _, field := range fields[11:15] { // its own and that of children that are gone
			n, _ := strconv.Atoi(field)
			ticks[p.Name()] += n
		}
	}
	sum := 0
	me := strconv.Itoa(os.Getpid())
	for pid := range ticks {
		for above := pid; above != ""; above = parents[above] {
			if above == me {
				sum += ticks[pid]
				break
			}
		}
	}
	return time.Duration(sum) * tick
}

package work_test

import (
	"testing"

	"github.com/konnektor-go/konnektor/connector/work"
	"github.com/konnektor-go/konnektor/connector/work/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(string) (work.Store, func() error, error) { return work.NewMemory(), nil, nil })
}

//go:build !race

package readers

import (
	"testing"
	"time"
)

func TestAllocations_AReadThatTellsNothingNewTakesNone(t *testing.T) {
	token := newBook().Token("app", "id")
	for n := range 20 {
		token.saw(client(n), 1, epoch)
	}
	at := epoch
	if n := testing.AllocsPerRun(100, func() {
		at = at.Add(time.Second)
		token.saw(client7, 1, at)
	}); n != 0 {
		t.Errorf("it takes %.0f allocations", n)
	}
}

var client7 = client(7)

package readers

import (
	"encoding/json"
	"testing"
	"time"
)

// TestEntry_KeepsItsForm has an entry as releases with schema version 1 write it. It stays as it is.
func TestEntry_KeepsItsForm(t *testing.T) {
	t.Parallel()
	const written = `{"schema":1,"id":"11111111-2222","slack":21600,"readers":[` +
		`{"e":"entity-jane","d":"userpass-jane","c":"9310792193107921","a":"192.0.2.1","v":2,"f":1795749000,"l":1795752600},` +
		`{"d":"token","c":"d53b1206d53b1206","a":"192.0.2.2","t":true,"v":1,"f":1795749000,"l":1795749000}],` +
		`"lost":[{"v":1,"l":1795749000,"n":3}]}`
	var e Entry
	if err := json.Unmarshal([]byte(written), &e); err != nil {
		t.Fatal(err)
	}
	token := newBook().Token("app", "11111111-2222")
	token.Merge(e)
	again, err := json.Marshal(token.Entry(time.Unix(1795752600, 0), time.Unix(0, 0), window))
	if err != nil || string(again) != written {
		t.Errorf("it is stored as %s, error %v", again, err)
	}
	rows := token.Rows(time.Time{})
	if len(rows) != 2 || rows[0].Path != AccessToken || rows[1].EntityID != "entity-jane" || token.Behind(1, window, time.Unix(1795752600, 0)).Count() != 4 {
		t.Errorf("the rows are %+v", rows)
	}
}

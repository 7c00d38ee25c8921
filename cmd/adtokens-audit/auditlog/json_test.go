package auditlog

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"
	"unicode/utf8"
)

// readFields reads an object by eachField: texts by asText, everything else as it is written.
func readFields(tb testing.TB, text []byte) (map[string]string, bool) {
	tb.Helper()
	read := map[string]string{}
	ok := eachField(text, func(key, value []byte) {
		name := asText(append(append([]byte(`"`), key...), '"'))
		if read[name] = string(value); value[0] == '"' {
			read[name] = asText(value)
		}
	})
	return read, ok
}

// decodeFields does the same by encoding/json.
func decodeFields(tb testing.TB, text []byte) (map[string]string, bool) {
	tb.Helper()
	var decoded map[string]json.RawMessage
	if json.Unmarshal(text, &decoded) != nil || decoded == nil {
		return nil, false
	}
	read := map[string]string{}
	for name, value := range decoded {
		text := string(value)
		if value[0] == '"' {
			if err := json.Unmarshal(value, &text); err != nil {
				tb.Fatal(err)
			}
		}
		read[name] = text
	}
	return read, true
}

var objects = map[string]string{
	"empty":                 `{}`,
	"empty, with spaces":    " { } ",
	"a field of each kind":  `{"s":"x","n":-1.5e3,"t":true,"f":false,"z":null,"o":{"a":[1,{"b":"}"}]},"l":[],"e":""}`,
	"white space":           "{ \"a\" :\t1 ,\r\n\"b\" : [ ] }",
	"escapes":               `{"a\"b":"c\\","\\":"\\\"","u":"\u00e4\n","s":"\/"}`,
	"the same key twice":    `{"a":1,"a":"2"}`,
	"letters beyond ASCII":  `{"ä":"ö"}`,
	"a brace in a string":   `{"a":"{","b":"]"}`,
	"backslashes at an end": `{"a":"\\\\","b":1}`,
}

func TestAnObjectIsReadAsByEncodingJSON(t *testing.T) {
	t.Parallel()
	for name, text := range objects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := readFields(t, []byte(text))
			want, valid := decodeFields(t, []byte(text))
			if !ok || !valid || !maps.Equal(got, want) {
				t.Errorf("%q instead of %q", got, want)
			}
		})
	}
}

func TestWhatIsNoObjectIsNotRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "{", "}", "[]", `"a"`, "1", "null", `{"a"`, `{"a"}`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a":"`, `{"a":"\"}`,
		`{"a":[}`, `{"a":[1}`, `{"a":{"b":1}`, `{a:1}`, `{"a":1}}`, `{"a":1} {"b":2}`, `{"a":1 "b":2}`, `{"a" 1}`, `{:1}`, `{,}`,
	} {
		if got, ok := readFields(t, []byte(text)); ok {
			t.Errorf("%s was read: %q", text, got)
		}
	}
}

// FuzzEachField looks for objects that are not read as encoding/json does.
func FuzzEachField(f *testing.F) {
	for _, text := range objects {
		f.Add([]byte(text))
	}
	f.Add(aRead(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := readFields(t, text)
		want, valid := decodeFields(t, text)
		// encoding/json replaces what is no UTF-8.
		if valid && utf8.Valid(text) && (!ok || !maps.Equal(got, want)) {
			t.Errorf("%q instead of %q", got, want)
		}
		if ok && bytes.IndexByte(text, '{') < 0 {
			t.Errorf("%q was read as an object", text)
		}
	})
}

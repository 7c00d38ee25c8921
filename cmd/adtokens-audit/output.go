package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// format is how answers are printed; it is a flag.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatCSV   format = "csv"
)

func (f *format) String() string { return string(*f) }

func (f *format) Set(text string) error {
	if !slices.Contains([]format{formatTable, formatJSON, formatCSV}, format(text)) {
		return fmt.Errorf("write table, json or csv")
	}
	*f = format(text)
	return nil
}

// report is an answer.
type report struct {
	// document is the answer in JSON.
	document any
	// tables are the answer for people. CSV has those with the columns of the first one.
	tables []table
	// unanswered is why an empty answer would say nothing: the logs do not have what was asked for. It is empty if they do.
	unanswered string
	// incomplete is set if a part of the logs could not be read.
	incomplete bool
	// notes say what the answer rests on, what it does not know, and how it could.
	notes []string
	// commands are what to type next. In JSON they are a part of the document.
	commands []string
}

// table is a list with a name.
type table struct {
	// name is the heading where there are several tables, and the first column in CSV.
	name    string
	columns []string
	rows    [][]string
	// none says what an empty table means; without it, an empty table is left out.
	none string
}

// add adds a row, whose cells come in groups.
func (t *table) add(groups ...[]string) { t.rows = append(t.rows, slices.Concat(groups...)) }

func (r *report) print(s cli.Streams, f format) error {
	switch f {
	case formatJSON:
		return writeJSON(s.Out, r.document, "  ")
	case formatCSV:
		for _, note := range r.notes {
			fmt.Fprintln(s.Err, "Note:", harmless(note))
		}
		for _, command := range r.commands {
			fmt.Fprintln(s.Err, harmless(command))
		}
		return r.printCSV(s.Out)
	case formatTable:
	}
	return r.printTables(s.Out)
}

func (r *report) printTables(out io.Writer) error {
	shown := slices.DeleteFunc(slices.Clone(r.tables), func(t table) bool { return len(t.rows) == 0 && t.none == "" })
	for _, t := range shown {
		if len(shown) > 1 {
			fmt.Fprintln(out, t.name+":")
		}
		if len(t.rows) == 0 && r.unanswered != "" {
			fmt.Fprintln(out, "Not known: "+harmless(r.unanswered)+".")
		} else if len(t.rows) == 0 && r.incomplete {
			fmt.Fprintln(out, "Not known: the part of the logs that could be read does not have it.")
		} else if len(t.rows) == 0 {
			fmt.Fprintln(out, harmless(t.none))
		} else if err := t.print(out); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	for _, note := range r.notes {
		if _, err := fmt.Fprintln(out, "Note:", harmless(note)); err != nil {
			return err
		}
	}
	for i, command := range r.commands {
		if _, err := fmt.Fprint(out, map[bool]string{true: "\n"}[i == 0], harmless(command), "\n"); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(t.columns, "\t")))
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = harmless(cell); cell == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

func (r *report) printCSV(out io.Writer) error {
	w := csv.NewWriter(out)
	first := r.tables[0]
	_ = w.Write(append([]string{"list"}, first.columns...)) // Flush keeps the error
	for _, t := range r.tables {
		if !slices.Equal(t.columns, first.columns) {
			continue
		}
		for _, row := range t.rows {
			cells := []string{t.name}
			for _, cell := range row {
				cells = append(cells, inert(cell))
			}
			_ = w.Write(cells)
		}
	}
	w.Flush()
	return w.Error()
}

// timestamp is in RFC 3339 and UTC, to the second; empty for no time.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// hidden stands for a text that the log has as an HMAC only.
const hidden = "(hidden)"

// inClear is the text, or what stands for its HMAC.
func inClear(text string) string {
	if auditlog.Hidden(text) {
		return hidden
	}
	return text
}

// event is an entry in JSON.
type event struct {
	Time time.Time     `json:"time"`
	Kind auditlog.Kind `json:"kind"`
	tokenRef
	versionRef
	DisplayName string `json:"display_name"`
	EntityID    string `json:"entity_id"`
	Accessor    string `json:"accessor,omitempty"`
	Address     string `json:"address"`
	Wrapped     bool   `json:"wrapped,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Error       string `json:"error,omitempty"`
}

// printEvent prints an entry on a line of its own.
func printEvent(out io.Writer, f format, e *auditlog.Entry) error {
	shown := event{
		Time: e.Time, Kind: e.Kind, tokenRef: tokenRef(e.Token), versionRef: refOf(&auditlog.Period{Version: e.Version}),
		DisplayName: e.By.DisplayName, EntityID: e.By.EntityID, Accessor: e.By.Accessor, Address: e.Address, Wrapped: e.Kind == auditlog.KindRead && e.WrappingToken.Token != "",
	}
	var details []string
	if e.Rotation != nil {
		shown.Reason, shown.Error = e.Rotation.Reason, e.Rotation.Error
		details = []string{inClear(shown.Reason), shown.Error}
	}
	if f == formatJSON {
		return writeJSON(out, shown, "")
	}
	cells := append([]string{
		timestamp(e.Time), string(e.Kind), e.Token.String(), "version " + shown.label(), e.By.DisplayName, entity(e.By.EntityID, e.By.Accessor), e.Address,
	}, details...)
	cells = slices.DeleteFunc(cells, func(cell string) bool { return cell == "" })
	_, err := fmt.Fprintln(out, harmless(strings.Join(cells, "  ")))
	return err
}

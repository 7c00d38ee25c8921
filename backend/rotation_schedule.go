package backend

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	sdkrotation "github.com/hashicorp/vault/sdk/rotation"
	"github.com/robfig/cron/v3"
)

// scheduleForm completes the sentence "rotation_schedule must be …".
const scheduleForm = `a cron expression of five fields (minute, hour, day of month, month, day of week) in UTC, such as "0 3 * * SAT"`

// parseSchedule reads a cron expression whose time comes after the given one. The parser would also take a time zone (TZ=…) before the
// fields, and panic where no space follows it. Errors complete the sentence "rotation_schedule …", and repeat nothing of the
// expression.
func parseSchedule(expression string, since time.Time) (*cron.SpecSchedule, error) {
	if strings.Contains(strings.ToUpper(expression), "TZ=") {
		return nil, errors.New("takes no time zone: leave TZ=… or CRON_TZ=… out, and give the time in UTC")
	}
	schedule, err := sdkrotation.DefaultScheduler.Parse(expression)
	if err != nil {
		return nil, explainSchedule(expression)
	}
	if schedule.Next(since).IsZero() {
		return nil, errors.New("never comes: no month that it names has its day of month")
	}
	return schedule, nil
}

// checkSchedule refuses an expression that plans nothing. The empty one is no schedule.
func checkSchedule(expression string, now time.Time) error {
	if expression == "" {
		return nil
	}
	if _, err := parseSchedule(expression, now); err != nil {
		return badInput("rotation_schedule %s. It must be %s; nothing was changed", err, scheduleForm)
	}
	return nil
}

// cronField is what one of the five fields of an expression may be.
type cronField struct {
	name, values string
	// hint is for what people write there because other programs take it.
	hint func(text string) string
}

var cronFields = []cronField{
	{"the minute (the first field)", "0 to 59", nil},
	{"the hour (the second field)", "0 to 23", hintHour},
	{"the day of month (the third field)", "1 to 31", hintDayOfMonth},
	{"the month (the fourth field)", "1 to 12 or JAN to DEC", nil},
	{"the day of week (the fifth field)", "0 to 6 or SUN to SAT", hintDayOfWeek},
}

// nicknames are names of schedules that other programs take, with what to write here.
var nicknames = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// explainSchedule says what is wrong in an expression that the parser refuses, and what is right there.
func explainSchedule(expression string) error {
	first, _, _ := strings.Cut(strings.TrimSpace(expression), " ")
	if strings.HasPrefix(first, "@") {
		return explainNickname(strings.ToLower(first))
	}
	fields := strings.Fields(expression)
	switch count := len(fields); {
	case count == 6 || count == 7:
		return fmt.Errorf("has %d fields: seconds and years are not among them here; leave those out", count)
	case count != len(cronFields):
		return fmt.Errorf("has %d of the five fields", count)
	}
	for i, text := range fields {
		alone := []string{"*", "*", "*", "*", "*"}
		alone[i] = text
		if _, err := sdkrotation.DefaultScheduler.Parse(strings.Join(alone, " ")); err != nil {
			return fmt.Errorf("has a mistake in %s: %s", cronFields[i].name, explainField(cronFields[i], text, i))
		}
	}
	return errors.New("cannot be read")
}

func explainNickname(name string) error {
	if same, ok := nicknames[name]; ok {
		return fmt.Errorf(`takes no names: instead of %s write "%s"`, name, same)
	}
	if name == "@every" {
		return errors.New("takes no intervals: use rotation_period for those")
	}
	return errors.New("takes no names that begin with @")
}

// explainField says what is wrong in one field.
func explainField(field cronField, text string, at int) string {
	right := "it takes " + field.values + ", with lists (1,2), ranges (1-5) and steps (*/2)"
	if field.hint != nil {
		if hint := field.hint(strings.ToUpper(text)); hint != "" {
			return hint + "; " + right
		}
	}
	for part := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(part, "/")
		low, high, isRange := strings.Cut(span, "-")
		switch {
		case stepped && strings.Trim(step, "0") == "":
			return "a step must be 1 or more; " + right
		case isRange && parses(low, at) && parses(high, at) && !parses(span, at):
			return "a range begins with the lower value: one that goes over the end is written as two, such as 5-6,0-1; " + right
		}
	}
	return right
}

// parses says whether a text alone is right in the field.
func parses(text string, at int) bool {
	alone := []string{"*", "*", "*", "*", "*"}
	alone[at] = text
	_, err := sdkrotation.DefaultScheduler.Parse(strings.Join(alone, " "))
	return text != "" && err == nil
}

func hintHour(text string) string {
	if strings.Contains(text, ":") || strings.HasSuffix(text, "AM") || strings.HasSuffix(text, "PM") {
		return "hour and minute are fields of their own, and hours count to 23"
	}
	if text == "24" {
		return "midnight is hour 0"
	}
	return ""
}

func hintDayOfMonth(text string) string {
	switch {
	case strings.ContainsAny(text, "LW"):
		return "L and W, for last days and weekdays, are not supported"
	case text == "0":
		return "days of a month begin with 1"
	}
	return ""
}

func hintDayOfWeek(text string) string {
	switch {
	case strings.ContainsAny(text, "#") || strings.HasSuffix(text, "L"):
		return "# and L, for the first or last such day of a month, are not supported"
	case slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '-' || r == '/' }), "7"):
		return "Sunday is 0 or SUN here, and not 7"
	case strings.HasSuffix(text, "DAY"):
		return "days are named by three letters"
	}
	return ""
}

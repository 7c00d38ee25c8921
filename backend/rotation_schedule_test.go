package backend

import (
	"strings"
	"testing"

	sdkrotation "github.com/hashicorp/vault/sdk/rotation"
)

func TestSchedule_MistakesAreToldWithWhatIsRight(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string][]string{
		"0 3 * * 7":                    {"day of week", "Sunday is 0 or SUN", "0 to 6 or SUN to SAT"},
		"0 3 * * 1-7":                  {"day of week", "Sunday is 0 or SUN"},
		"0 3 * * MONDAY":               {"day of week", "three letters"},
		"0 3 * * FRI-MON":              {"day of week", "written as two"},
		"0 3 * * 6-2":                  {"day of week", "written as two"},
		"0 3 * * 1#1":                  {"day of week", "# and L"},
		"0 3 * * 5L":                   {"day of week", "# and L"},
		"0 3 * * 17":                   {"day of week", "it takes 0 to 6"},
		"60 3 * * *":                   {"the minute", "0 to 59"},
		"x 3 * * *":                    {"the minute", "0 to 59"},
		"-5 3 * * *":                   {"the minute", "0 to 59"},
		"*/0 * * * *":                  {"the minute", "a step must be 1 or more"},
		"30-10 * * * *":                {"the minute", "lower value"},
		"0 24 * * *":                   {"the hour", "midnight is hour 0", "0 to 23"},
		"0 3:30 * * *":                 {"the hour", "fields of their own"},
		"0 3pm * * *":                  {"the hour", "fields of their own"},
		"0 3 0 * *":                    {"the day of month", "begin with 1"},
		"0 3 32 * *":                   {"the day of month", "1 to 31"},
		"0 3 L * *":                    {"the day of month", "L and W"},
		"0 3 15W * *":                  {"the day of month", "L and W"},
		"0 3 1 13 *":                   {"the month", "1 to 12 or JAN to DEC"},
		"0 3 1 0 *":                    {"the month", "1 to 12"},
		"0 3 1 JANUARY *":              {"the month", "JAN to DEC"},
		"@weekly":                      {`"0 0 * * 0"`},
		"@daily":                       {`"0 0 * * *"`},
		"@DAILY":                       {`"0 0 * * *"`},
		"@hourly":                      {`"0 * * * *"`},
		"@monthly":                     {`"0 0 1 * *"`},
		"@yearly":                      {`"0 0 1 1 *"`},
		"@every 1h":                    {"rotation_period"},
		"@reboot":                      {"no names"},
		"TZ=Europe/Berlin 0 3 * * *":   {"no time zone", "UTC"},
		"CRON_TZ=UTC 0 3 * * *":        {"no time zone", "UTC"},
		"TZ=UTC":                       {"no time zone"},
		"0 0 3 * * SAT":                {"6 fields", "seconds"},
		"0 0 3 * * SAT 2027":           {"7 fields"},
		"0 3 * *":                      {"4 of the five fields"},
		"weekly":                       {"1 of the five fields"},
		"every day":                    {"2 of the five fields"},
		"0 0 30 2 *":                   {"never comes"},
		"0 0 31 4,6,9,11 *":            {"never comes"},
		"0 0 30-31 FEB *":              {"never comes"},
		", 3 * * *":                    {"never comes"},
		"pastedSecretInTheWrongPlace7": {"1 of the five fields"},
	} {
		err := checkSchedule(expression, at)
		if err == nil || !containsAll(err.Error(), append(want, "five fields")) {
			t.Errorf("%q gives %v, want an error with each of %q", expression, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "pasted") {
			t.Errorf("a value is repeated: %v", err)
		}
	}
}

func TestSchedule_TakesWhatTheParserTakes(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{
		"0 3 * * SAT", "* * * * *", "*/15 0-23/2 1,15 * *", "0 0 29 2 *", "0 0 30 2 1", "0 0 31 1,2 *", "5 4 ? * sun", "0 3 * JAN-MAR MON-FRI", " 0 3 * * 0 ", "0\t3 * * 6", "7 7 7 7 *", "0 3 1,,2 * *",
	} {
		if _, err := sdkrotation.DefaultScheduler.Parse(strings.TrimSpace(expression)); err != nil {
			t.Fatalf("the parser refuses %q: %v", expression, err)
		}
		if err := checkSchedule(expression, at); err != nil {
			t.Errorf("%q is refused: %v", expression, err)
		}
	}
}

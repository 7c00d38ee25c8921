//go:build unix

package chaos

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// A history names credentials by their numbers, from 1, so that it holds no secret.

// action is a request of a client: to read a token's credential, to replace it, or to report that a version was refused. Or it is an
// event that no client asks the engine for.
type action struct {
	token string
	event event
	// report is the version that is reported; 0 for no report.
	report int
	// value is the number of the new credential; 0 for a read.
	value int
	// cas is the version to replace; negative for whatever it is.
	cas int
}

func (a action) isRead() bool { return a.event == "" && a.value == 0 && a.report == 0 }

type event string

const (
	// dies is when somebody resets the token in the provider's console and hands in nothing.
	dies event = "the current value dies"
	// heals is when the engine decides to replace a rejected value, and healed when the new one is published.
	heals  event = "the engine begins to replace it"
	healed event = "the engine has replaced it"
)

// result is what a client was told.
type result struct {
	// outcome says whether a rotation took place; a read that failed is no part of a history.
	outcome outcome
	version int
	// identifier, secret and second are the numbers of the credentials that each field belongs to: account SID and auth token,
	// or client ID, client secret and refresh token. An auth token is its own second.
	identifier, secret, second int
	fingerprint                string
}

type outcome string

const (
	published  outcome = "done"
	casRefused outcome = "refused by cas"
	// unknown is the outcome of a request whose answer was lost: it took place at any time since, or will never.
	unknown outcome = "unknown"
	// outdated, rejected and asked are those of a report: another version is current, the provider rejects this one, or it was asked and
	// does not.
	outdated outcome = "outdated"
	rejected outcome = "rejected"
	asked    outcome = "asked"
)

// register is a token as it ought to be: one credential, replaced at one moment.
type register struct {
	version, value int
	// fingerprint is empty until somebody was told.
	fingerprint string
	// dead says that the provider rejects the value, and healing that the engine replaces it for that.
	dead, healing bool
	// healings counts the times that it has begun to.
	healings int
}

// maxHealings is how often the engine may do that within a day, which is longer than a history.
const maxHealings = 3

// registers is the model: a register for each token.
var registers = porcupine.Model{
	Init: func() any { return register{} },
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byToken := map[string][]porcupine.Operation{}
		for _, op := range history {
			name := op.Input.(action).token
			byToken[name] = append(byToken[name], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byToken {
			parts = append(parts, part)
		}
		return parts
	},
	Step: func(state, input, output any) (bool, any) {
		return state.(register).step(input.(action), output.(result))
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

// step says whether a register could have answered like this, and what it is afterwards.
func (r register) step(a action, answer result) (bool, register) {
	matches := a.cas < 0 || a.cas == r.version
	switch {
	case a.event != "":
		return r.happens(a)
	case a.report != 0:
		return r.reported(a, answer), r
	case a.isRead():
		known := r.fingerprint == "" || r.fingerprint == answer.fingerprint
		right := answer.version == r.version && answer.identifier == r.value && answer.secret == r.value && answer.second == r.value
		r.fingerprint = answer.fingerprint
		return right && known, r
	case answer.outcome == casRefused:
		return !matches, r
	case answer.outcome == unknown && !matches:
		return true, r
	case answer.outcome == unknown:
		return true, r.replaced(a.value, "")
	default:
		return matches && answer.version == r.version+1, r.replaced(a.value, answer.fingerprint)
	}
}

func (r register) replaced(value int, fingerprint string) register {
	return register{version: r.version + 1, value: value, fingerprint: fingerprint, healings: r.healings}
}

// happens says whether an event may take place. The end of a healing may never come, as that of any rotation whose answer was lost.
func (r register) happens(a action) (bool, register) {
	switch {
	case a.event == dies:
		r.dead = true
		return true, r
	case a.event == heals:
		may := r.dead && !r.healing && r.healings < maxHealings
		r.healing, r.healings = true, r.healings+1
		return may, r
	case !r.healing:
		return true, r
	default:
		return true, r.replaced(a.value, "")
	}
}

// reported says whether a report could have been answered like this: whoever is told that a version is outdated has to find another one
// afterwards.
func (r register) reported(a action, answer result) bool {
	current := a.report == r.version
	switch {
	case answer.version != r.version || a.report > r.version:
		return false
	case answer.outcome == rejected:
		return !current || r.dead
	default:
		return !current || answer.outcome == asked
	}
}

// checkTime is far beyond what a history of these tests takes.
const checkTime = time.Minute

func linearizable(history []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(registers, history, checkTime)
}

func TestTheCheckerFindsWhatARegisterDoesNot(t *testing.T) {
	t.Parallel()
	rotate := func(from, until int64, value, cas int, how outcome, version int) porcupine.Operation {
		return porcupine.Operation{
			Input: action{token: "t", value: value, cas: cas}, Call: from, Return: until,
			Output: result{outcome: how, version: version, fingerprint: fmt.Sprint("f", value)},
		}
	}
	sees := func(from, until int64, version, identifier, secret int, fingerprint string) porcupine.Operation {
		return porcupine.Operation{
			Input: action{token: "t"}, Call: from, Return: until,
			Output: result{version: version, identifier: identifier, secret: secret, second: secret, fingerprint: fingerprint},
		}
	}
	reports := func(from, until int64, version int, how outcome, current int) porcupine.Operation {
		return porcupine.Operation{
			Input: action{token: "t", report: version}, Call: from, Return: until, Output: result{outcome: how, version: current},
		}
	}
	happens := func(what event, from, until int64, value int) porcupine.Operation {
		return porcupine.Operation{Input: action{token: "t", event: what, value: value}, Call: from, Return: until, Output: result{}}
	}
	// heal is a healing that begins before one time, and of whose end nobody is told.
	heal := func(before int64, value int) []porcupine.Operation {
		return []porcupine.Operation{happens(heals, 0, before, 0), happens(healed, before, math.MaxInt64, value)}
	}
	// deaths are as many deaths of a value as there are healings of them, each of which somebody has seen.
	deaths := func(n int) (all []porcupine.Operation) {
		for i := range n {
			at, value := int64(100*(i+1)), i+2
			all = append(all, happens(dies, at, at+1, 0), sees(at+90, at+91, value, value, value, fmt.Sprint("f", value)))
			all = append(all, heal(at+10, value)...)
		}
		return all
	}
	first, second := rotate(0, 1, 1, 0, published, 1), rotate(10, 20, 2, 1, published, 2)
	lost := rotate(10, math.MaxInt64, 2, 1, unknown, 0)
	tests := map[string]struct {
		history []porcupine.Operation
		want    porcupine.CheckResult
	}{
		"reads around a rotation":             {[]porcupine.Operation{first, second, sees(2, 3, 1, 1, 1, "f1"), sees(21, 22, 2, 2, 2, "f2")}, porcupine.Ok},
		"reads of both values meanwhile":      {[]porcupine.Operation{first, second, sees(11, 13, 2, 2, 2, "f2"), sees(12, 14, 1, 1, 1, "f1")}, porcupine.Ok},
		"a lost answer, and it took place":    {[]porcupine.Operation{first, lost, sees(90, 91, 2, 2, 2, "f2")}, porcupine.Ok},
		"a lost answer, and it did not":       {[]porcupine.Operation{first, lost, sees(90, 91, 1, 1, 1, "f1")}, porcupine.Ok},
		"two with one cas, one refused":       {[]porcupine.Operation{first, second, rotate(12, 18, 3, 1, casRefused, 0)}, porcupine.Ok},
		"reports of both versions":            {[]porcupine.Operation{first, second, reports(2, 3, 1, asked, 1), reports(21, 22, 1, outdated, 2)}, porcupine.Ok},
		"a report that a rotation overtakes":  {[]porcupine.Operation{first, second, reports(9, 25, 1, asked, 2)}, porcupine.Ok},
		"a current version is outdated":       {[]porcupine.Operation{first, second, reports(21, 22, 2, outdated, 2)}, porcupine.Illegal},
		"a report is told of a version early": {[]porcupine.Operation{first, second, reports(5, 9, 1, outdated, 2)}, porcupine.Illegal},
		"a report is told of an old version":  {[]porcupine.Operation{first, second, reports(21, 22, 1, asked, 1)}, porcupine.Illegal},
		"a read goes back afterwards":         {[]porcupine.Operation{first, second, sees(21, 22, 1, 1, 1, "f1")}, porcupine.Illegal},
		"a read goes back meanwhile":          {[]porcupine.Operation{first, second, sees(11, 12, 2, 2, 2, "f2"), sees(13, 14, 1, 1, 1, "f1")}, porcupine.Illegal},
		"a lost answer takes place and not":   {[]porcupine.Operation{first, lost, sees(80, 81, 2, 2, 2, "f2"), sees(90, 91, 1, 1, 1, "f1")}, porcupine.Illegal},
		"a read mixes fields":                 {[]porcupine.Operation{first, second, sees(11, 19, 2, 2, 1, "f2")}, porcupine.Illegal},
		"a read mixes version and fields":     {[]porcupine.Operation{first, second, sees(11, 19, 1, 2, 2, "f2")}, porcupine.Illegal},
		"a read mixes fingerprint and fields": {[]porcupine.Operation{first, second, sees(11, 19, 2, 2, 2, "f1")}, porcupine.Illegal},
		"a read is early":                     {[]porcupine.Operation{first, second, sees(5, 9, 2, 2, 2, "f2")}, porcupine.Illegal},
		"two with one cas succeed":            {[]porcupine.Operation{first, second, rotate(12, 18, 3, 1, published, 3)}, porcupine.Illegal},
		"cas refuses the current version":     {[]porcupine.Operation{first, rotate(12, 18, 3, 1, casRefused, 0)}, porcupine.Illegal},
		"a dead value is healed":              {append(deaths(1), first), porcupine.Ok},
		"three dead values are healed":        {append(deaths(3), first), porcupine.Ok},
		"a healing is lost":                   {append(heal(9, 2), first, happens(dies, 5, 6, 0), sees(90, 91, 1, 1, 1, "f1")), porcupine.Ok},
		"a report of a dead value":            {[]porcupine.Operation{first, happens(dies, 5, 6, 0), reports(7, 8, 1, rejected, 1)}, porcupine.Ok},
		"a report that a healing overtakes":   {append(deaths(1), first, reports(102, 195, 1, rejected, 2)), porcupine.Ok},
		"a person is quicker than a healing":  {append(heal(9, 3), first, happens(dies, 5, 6, 0), second, sees(90, 91, 2, 2, 2, "f2")), porcupine.Ok},
		"a value that works is healed":        {append(heal(9, 2), first, happens(dies, 10, 11, 0), sees(90, 91, 2, 2, 2, "f2")), porcupine.Illegal},
		"one death is healed twice":           {append(deaths(1), append(heal(195, 3), first)...), porcupine.Illegal},
		"four dead values are healed":         {append(deaths(4), first), porcupine.Illegal},
		"a report rejects what works":         {[]porcupine.Operation{first, happens(dies, 9, 10, 0), reports(5, 6, 1, rejected, 1)}, porcupine.Illegal},
		"a report rejects what was replaced":  {[]porcupine.Operation{first, happens(dies, 5, 6, 0), second, reports(21, 22, 2, rejected, 2)}, porcupine.Illegal},
		"a rotation skips a version":          {[]porcupine.Operation{first, rotate(12, 18, 3, 1, published, 3)}, porcupine.Illegal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := linearizable(tt.history); got != tt.want {
				t.Errorf("the checker says %s instead of %s", got, tt.want)
			}
		})
	}
}

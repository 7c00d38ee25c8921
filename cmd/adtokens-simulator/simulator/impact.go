package simulator

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// impactFailure is impact.com's error answer.
type impactFailure struct {
	XMLName xml.Name      `json:"-" xml:"ImpactRadiusResponse"`
	Status  string        `json:"Status"`
	Message string        `json:"Message"`
	Errors  []impactField `json:"Errors,omitempty" xml:"Errors>Error,omitempty"`
}

type impactField struct {
	Field   string `json:"Field"`
	Message string `json:"Message"`
}

// company is the answer of CompanyInformation, the same for all tokens of an account. Contacts are documented by their names
// only; that they are text is this simulator's choice.
type company struct {
	URI              string `json:"@uri" xml:"uri,attr"`
	CompanyName      string `json:"CompanyName"`
	TechnicalContact string `json:"TechnicalContact"`
	SecurityContact  string `json:"SecurityContact"`
}

type companyResponse struct {
	XMLName xml.Name `xml:"ImpactRadiusResponse"`
	Company company  `xml:"CompanyInformation"`
}

// rateLimit is what the X-RateLimit headers say; reset is in seconds.
type rateLimit struct {
	limit, remaining, reset int
	exceeded                bool
}

func writeRateLimit(w http.ResponseWriter, limit rateLimit) {
	w.Header().Set("X-RateLimit-Limit", strconv.Itoa(limit.limit))
	w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(limit.remaining))
	w.Header().Set("X-RateLimit-Reset", strconv.Itoa(limit.reset))
}

// writeImpact answers in JSON if the request asks for it, else in XML, the default.
func writeImpact(w http.ResponseWriter, r *http.Request, answer impactAnswer) {
	if acceptsJSON(r) {
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		w.WriteHeader(answer.status)
		_ = json.NewEncoder(w).Encode(answer.json) // the client went away
		return
	}
	w.Header().Set("Content-Type", "text/xml;charset=utf-8")
	w.WriteHeader(answer.status)
	_, _ = io.WriteString(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(answer.xml)
}

// impactAnswer holds both forms of one answer.
type impactAnswer struct {
	status    int
	json, xml any
}

func acceptsJSON(r *http.Request) bool {
	return slices.ContainsFunc(strings.Split(r.Header.Get("Accept"), ","), func(accepted string) bool {
		mediaType, _, err := mime.ParseMediaType(accepted)
		return err == nil && mediaType == "application/json"
	})
}

func writeImpactError(w http.ResponseWriter, r *http.Request, status int, message string, fields ...impactField) {
	failure := impactFailure{Status: "ERROR", Message: message, Errors: fields}
	writeImpact(w, r, impactAnswer{status, failure, failure})
}

func handleImpactNotFound(w http.ResponseWriter, r *http.Request) {
	writeImpactError(w, r, http.StatusNotFound, "The requested resource was not found")
}

// handleImpact answers below the base path of one kind of account.
func (s *Simulator) handleImpact(kind AccountKind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		account, token := s.authenticate(r, kind)
		var limit rateLimit
		if account != nil {
			limit = s.countRequest(account)
		}
		allowed := token != nil && token.permits(r.PathValue("resource"))
		s.mu.Unlock()

		if account == nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="impact.com"`)
			writeImpactError(w, r, http.StatusUnauthorized, "Authentication failed")
			return
		}
		writeRateLimit(w, limit)
		if limit.exceeded {
			writeImpactError(w, r, http.StatusTooManyRequests, "Rate limit exceeded")
			return
		}
		if !allowed {
			writeImpactError(w, r, http.StatusForbidden, "Access to this resource is not permitted")
			return
		}
		answerResource(w, r, account)
	}
}

// answerResource answers an authorised request. Name and kind of an account never change.
func answerResource(w http.ResponseWriter, r *http.Request, account *impactAccount) {
	if field := checkVersionHeader(r, account.Kind); field != nil {
		writeImpactError(w, r, http.StatusBadRequest, "Validation Failed", *field)
		return
	}
	if r.PathValue("resource") != companyInformation {
		handleImpactNotFound(w, r)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		writeImpactError(w, r, http.StatusMethodNotAllowed, "Method not allowed")
		return
	}
	answer := company{
		URI: r.URL.Path, CompanyName: account.Name, TechnicalContact: "it@" + account.Name + ".example", SecurityContact: "security@" + account.Name + ".example",
	}
	writeImpact(w, r, impactAnswer{http.StatusOK, answer, companyResponse{Company: answer}})
}

// authenticate returns nothing unless the Basic pair is a token's, the path names the same SID, and below the base path
// of the token's own kind of account. The caller holds mu.
func (s *Simulator) authenticate(r *http.Request, kind AccountKind) (*impactAccount, *liveToken) {
	sid, password, ok := r.BasicAuth()
	if !ok || sid != r.PathValue("sid") {
		return nil, nil
	}
	account, token := s.impactToken(sid)
	if token == nil || account.Kind != kind || !sameSecret(token.AuthToken, password) {
		return nil, nil
	}
	return account, token
}

// permits is always true for legacy tokens: what is played can only be read.
func (t *liveToken) permits(resource string) bool {
	if t.scoped == nil {
		return true
	}
	return !t.scoped.Disabled && (slices.Contains(t.scoped.Scopes, resource) || resource != companyInformation)
}

// countRequest counts a request of the account. The caller holds mu.
func (s *Simulator) countRequest(account *impactAccount) rateLimit {
	now := s.now()
	if !now.Before(account.windowEnd) {
		account.used, account.windowEnd = 0, now.Add(time.Hour)
	}
	account.used++
	left := s.options.ImpactRateLimit - account.used
	return rateLimit{
		limit:     s.options.ImpactRateLimit,
		remaining: max(left, 0),
		reset:     int(math.Ceil(account.windowEnd.Sub(now).Seconds())),
		exceeded:  left < 0,
	}
}

// checkVersionHeader judges the request's own choice of API version, if it makes one.
func checkVersionHeader(r *http.Request, kind AccountKind) *impactField {
	field, text := "IR-Version", r.Header.Get("IR-Version")
	if text == "" {
		field, text = "IrVersion", r.URL.Query().Get("IrVersion")
	}
	if text == "" {
		return nil
	}
	version, err := strconv.Atoi(text)
	if err != nil {
		return &impactField{field, "Not a numeric value"}
	}
	if checkAPIVersion(kind, version) != nil {
		return &impactField{field, "Unknown API version"}
	}
	return nil
}

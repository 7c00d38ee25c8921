package simulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// SubjectToken is the one token of another identity provider that the Security Token Service takes. It stands for the service account
// DefaultName, and so does the host's own identity.
const SubjectToken = "subject-token-of-the-simulated-identity-provider"

// exchangeResponse is the answer of the Security Token Service.
type exchangeResponse struct {
	grantResponse
	IssuedTokenType string `json:"issued_token_type"`
}

// handleTokenExchange is RFC 8693 at sts.googleapis.com.
func (s *Simulator) handleTokenExchange(w http.ResponseWriter, r *http.Request) {
	if failure := parseForm(w, r); failure != nil {
		writeOAuthError(w, *failure)
		return
	}
	s.mu.Lock()
	response, failure := s.exchangeToken(r)
	s.mu.Unlock()
	if failure != nil {
		writeOAuthError(w, *failure)
		return
	}
	writeGoogleJSON(w, http.StatusOK, response)
}

func (s *Simulator) exchangeToken(r *http.Request) (*exchangeResponse, *oauthError) {
	scopes := strings.Fields(r.PostForm.Get("scope"))
	switch {
	case r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange":
		return nil, invalidRequest("Invalid grant_type")
	case !strings.HasPrefix(r.PostForm.Get("audience"), "//iam.googleapis.com/projects/"):
		return nil, &oauthError{status: http.StatusBadRequest, Code: "invalid_target", Description: "The target service indicated by the \"audience\" parameters is invalid."}
	case r.PostForm.Get("subject_token_type") == "" || len(scopes) == 0:
		return nil, invalidRequest("Missing required parameter")
	case !sameSecret(SubjectToken, strings.TrimSpace(r.PostForm.Get("subject_token"))):
		return nil, invalidGrant("The given credential is rejected by the attribute condition.")
	}
	granted := s.newAccessToken(accessToken{scopes: scopes, serviceAccount: s.google.ServiceAccounts[DefaultName]})
	granted.ExpiresIn = int(accessTokenLife.Seconds())
	return &exchangeResponse{*granted, "urn:ietf:params:oauth:token-type:access_token"}, nil
}

// handleMetadataToken is the metadata server of a machine that runs as the service account DefaultName.
func (s *Simulator) handleMetadataToken(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata-Flavor") != "Google" {
		http.Error(w, "Missing required header \"Metadata-Flavor\": \"Google\"", http.StatusForbidden)
		return
	}
	s.mu.Lock()
	granted := s.newAccessToken(accessToken{scopes: strings.Split(r.URL.Query().Get("scopes"), ","), serviceAccount: s.google.ServiceAccounts[DefaultName]})
	s.mu.Unlock()
	granted.ExpiresIn = int(accessTokenLife.Seconds())
	w.Header().Set("Metadata-Flavor", "Google")
	writeGoogleJSON(w, http.StatusOK, granted)
}

// generatedToken is an answer of the IAM Service Account Credentials API.
type generatedToken struct {
	AccessToken string `json:"accessToken"`
	ExpireTime  string `json:"expireTime"`
}

// handleServiceAccountVerb answers POST …/serviceAccounts/{email}:generateAccessToken.
func (s *Simulator) handleServiceAccountVerb(w http.ResponseWriter, r *http.Request) {
	email, verb, _ := strings.Cut(r.PathValue("account"), ":")
	if verb != "generateAccessToken" || r.PathValue("project") != "-" {
		handleGoogleNotFound(w, r)
		return
	}
	var body struct {
		Scope    []string `json:"scope"`
		Lifetime string   `json:"lifetime"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&body)
	life, unreadable := time.ParseDuration(body.Lifetime)
	s.mu.Lock()
	token, failure := s.generateAccessToken(r, email, body.Scope, life)
	s.mu.Unlock()
	switch {
	case failure != nil:
		writeGoogleError(w, *failure)
	case err != nil || unreadable != nil || life <= 0 || life > time.Hour || len(body.Scope) == 0:
		writeGoogleError(w, googleError{Code: http.StatusBadRequest, Message: "Request contains an invalid argument."})
	default:
		writeGoogleJSON(w, http.StatusOK, token)
	}
}

// generateAccessToken wants a caller who may manage the keys of others: that stands for the role Service Account Token Creator here.
func (s *Simulator) generateAccessToken(r *http.Request, email string, scopes []string, life time.Duration) (*generatedToken, *googleError) {
	caller, denied := s.authorize(r, scopeCloudPlatform)
	if denied != nil {
		return nil, denied
	}
	account := s.accountByEmail(email)
	if account == nil || caller.serviceAccount == nil || caller.serviceAccount.KeyAdministration == KeyAdministrationDenied {
		return nil, permissionDenied("iam.serviceAccounts.getAccessToken", r)
	}
	granted := s.newAccessToken(accessToken{scopes: slices.Clone(scopes), serviceAccount: account})
	return &generatedToken{AccessToken: granted.AccessToken, ExpireTime: s.now().Add(life).UTC().Format(time.RFC3339)}, nil
}

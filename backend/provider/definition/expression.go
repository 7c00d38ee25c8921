package definition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Bounds of an expression: of its text and its tree, of how many a definition has, and of what one evaluation may cost. Most cost less
// than 100.
const (
	maxExpression   = 2000
	maxExpressions  = 1000
	maxNodes        = 2000
	maxRegexProgram = 2000
	maxCost         = 200_000
)

// The variables that expressions can have.
const (
	varStatus     = "status"
	varHeaders    = "headers"
	varBody       = "body"
	varText       = "text"
	varAccount    = "account"
	varOption     = "option"
	varCredential = "credential"
)

// environment is what expressions of one kind know.
type environment func() (*cel.Env, error)

var (
	// ofAnswers is for expressions about an answer.
	ofAnswers = newEnvironment(varStatus, varHeaders, varBody, varText, varAccount, varOption)
	// ofHints is for what a refused credential looks like.
	ofHints = newEnvironment(varCredential, varAccount, varOption)
	// ofAccounts is for the texts of runbooks.
	ofAccounts = newEnvironment(varAccount)
)

// base is shared, because the declarations of the standard functions are large.
var base = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxExpression), cel.ParserRecursionLimit(60), cel.ExpressionNodeLimit(maxNodes),
		cel.ParserErrorRecoveryLimit(5), cel.RegexProgramSizeLimit(maxRegexProgram), cel.ASTValidators(cel.ValidateRegexLiterals()),
	)
})

func newEnvironment(names ...string) environment {
	return sync.OnceValues(func() (*cel.Env, error) {
		env, err := base()
		if err != nil {
			return nil, err
		}
		kinds := map[string]*cel.Type{varStatus: cel.IntType, varBody: cel.DynType, varText: cel.StringType}
		var declared []cel.EnvOption
		for _, name := range names {
			kind := kinds[name]
			if kind == nil {
				kind = cel.MapType(cel.StringType, cel.StringType)
			}
			declared = append(declared, cel.Variable(name, kind))
		}
		return env.Extend(declared...)
	})
}

// expression is compiled once. The error is a mistake of the definition.
type expression func() (*program, error)

// program is a compiled expression.
type program struct {
	cel.Program
	// credential are the fields of the credential that it reads; everything where it cannot be told.
	credential []string
}

// Kinds of results.
var (
	wantBool   = []*cel.Type{cel.BoolType}
	wantName   = []*cel.Type{cel.StringType, cel.IntType, cel.UintType, cel.DoubleType}
	wantNames  = append(slices.Clone(wantName), cel.ListType(cel.DynType))
	wantNumber = []*cel.Type{cel.IntType, cel.UintType, cel.DoubleType, cel.StringType}
	wantTime   = append(slices.Clone(wantNumber), cel.TimestampType)
	wantText   = []*cel.Type{cel.StringType}
)

// wholeCredential stands for an expression that reads the credential otherwise than field by field.
const wholeCredential = "*"

// expression is the text's, which is compiled at its first use.
func (e environment) expression(text string, want []*cel.Type) expression {
	return sync.OnceValues(func() (*program, error) { return e.compile(text, want) })
}

// compile checks an expression and makes a program of it.
func (e environment) compile(text string, want []*cel.Type) (*program, error) {
	env, err := e()
	if err != nil {
		return nil, fmt.Errorf("expressions cannot be compiled: %w", err)
	}
	tree, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, errors.New("is no CEL expression that fits: " + issuesText(issues))
	}
	result := tree.OutputType()
	fits := slices.ContainsFunc(want, func(t *cel.Type) bool { return t.IsAssignableType(result) || t.Kind() == result.Kind() })
	if result.Kind() != types.DynKind && !fits {
		names := make([]string, len(want))
		for i, t := range want {
			names[i] = t.TypeName()
		}
		return nil, fmt.Errorf("must give %s, this gives %s", strings.Join(names, " or "), result.TypeName())
	}
	compiled := &program{}
	if err := compiled.inspect(tree.NativeRep()); err != nil {
		return nil, err
	}
	compiled.Program, err = env.Program(tree, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.InterruptCheckFrequency(100))
	if err != nil {
		return nil, fmt.Errorf("cannot be compiled: %w", err)
	}
	return compiled, nil
}

// issuesText is the problems in one line, without the drawing of where they are.
func issuesText(issues *cel.Issues) string {
	var texts []string
	for _, issue := range issues.Errors() {
		text, _, _ := strings.Cut(issue.Message, "\n")
		if text = strings.TrimSpace(text); issue.Location != nil && issue.Location.Line() > 0 {
			text = fmt.Sprintf("column %d: %s", issue.Location.Column()+1, text)
		}
		if texts = append(texts, text); len(texts) == 3 {
			break
		}
	}
	if slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, "Syntax error") }) {
		texts = append(texts, "CEL writes ==, &&, || and !, and texts in quotes")
	}
	return strings.Join(texts, "; ")
}

// inspect wants patterns that are written in the expression: one that came with an answer could take any time. It also finds the
// fields of the credential that are read.
func (p *program) inspect(tree *ast.AST) error {
	var problem error
	selected := map[int64]string{}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(node ast.Expr) {
		switch node.Kind() {
		case ast.CallKind:
			call := node.AsCall()
			if pattern, args := 0, call.Args(); call.FunctionName() == overloads.Matches {
				if !call.IsMemberFunction() {
					pattern = 1
				}
				if len(args) <= pattern || args[pattern].Kind() != ast.LiteralKind {
					problem = errors.New("the pattern of matches must be a text in quotes")
				}
			}
			if args := call.Args(); call.FunctionName() == operators.Index && len(args) == 2 && args[0].Kind() == ast.IdentKind {
				if name, ok := literal(args[1]); ok {
					selected[args[0].ID()] = name
				}
			}
		case ast.SelectKind:
			if operand := node.AsSelect().Operand(); operand.Kind() == ast.IdentKind {
				selected[operand.ID()] = node.AsSelect().FieldName()
			}
		}
	}))
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(node ast.Expr) {
		if node.Kind() == ast.IdentKind && node.AsIdent() == varCredential {
			name := selected[node.ID()]
			if name == "" {
				name = wholeCredential
			}
			p.credential = append(p.credential, name)
		}
	}))
	return problem
}

func literal(node ast.Expr) (string, bool) {
	if node.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := node.AsLiteral().Value().(string)
	return text, ok
}

// evaluate gives nil where the expression fails or costs too much, or the time for all of them is over.
func (e expression) evaluate(ctx context.Context, facts map[string]any) ref.Val {
	if e == nil || ctx.Err() != nil {
		return nil
	}
	p, err := e()
	if err != nil {
		return nil
	}
	value, _, err := p.ContextEval(ctx, facts)
	if err != nil || types.IsUnknownOrError(value) {
		return nil
	}
	return value
}

// holds says whether the expression gives true.
func (e expression) holds(ctx context.Context, facts map[string]any) bool {
	return e.evaluate(ctx, facts) == types.True
}

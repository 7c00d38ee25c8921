package definition

func (t *tokenType) checkExamples(l *list) {}

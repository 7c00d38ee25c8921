package backend

// logError logs an error of the engine's own work, unless the mount is being closed.
func (b *backend) logError(doing, name string, err error) {
	if err != nil && b.work.Err() == nil {
		b.Logger().Error(doing+" failed", "token", name, "error", b.mountPath.fillIn(err))
	}
}

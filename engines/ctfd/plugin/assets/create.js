// CTFd loads a script with every form; this one needs none.

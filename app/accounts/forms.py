"""The sign-in form."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import InputRequired, Length


class LoginForm(FlaskForm):
    """Name and password. Which of them was wrong is never told."""

    username = StringField("User name", [InputRequired("Enter your user name."), Length(max=80)])
    password = PasswordField("Password", [InputRequired("Enter your password."), Length(max=200)])

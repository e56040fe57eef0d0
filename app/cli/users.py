"""``flask users``."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup

from app.accounts import service
from app.accounts.models import Role
from app.accounts.passwords import hash_password, new_password, password_problem
from app.accounts.presenters import PASSWORD_PROBLEMS, PERSON_ERRORS
from app.cli import context

users = AppGroup("users", help="Manage user accounts.")


@users.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--supplier", "suppliers", multiple=True, metavar="B2BID", help="Supplier B2B ID. Repeatable.")
@click.option("--full-name", default="", help="Name shown to other users.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def add(name: str, role: str, suppliers: tuple[str, ...], full_name: str, password_stdin: bool) -> None:
    """Add a user.

    Without --password-stdin, prompt for it on a terminal; otherwise generate and print one.
    A generated password must be changed at the first sign-in.
    """
    generated = None
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = generated = new_password()
    problem = password_problem(password, name, full_name, *suppliers)
    if problem:
        context.fail(PASSWORD_PROBLEMS[problem])
    password_hash = hash_password(password)
    with context.writing() as session:
        try:
            person = service.add_person(
                session,
                name,
                role=Role(role),
                password_hash=password_hash,
                supplier_ids=suppliers,
                full_name=full_name,
                must_change_password=generated is not None,
            )
        except service.InvalidPerson as error:
            context.fail(PERSON_ERRORS[error.code])
        session.commit()
    click.echo(f"added {person.username} ({person.role})")
    if generated:
        click.echo(f"password: {generated}")
